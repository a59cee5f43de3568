"""`python -m local.doctor`, which is `make doctor`: asks the upstream, and prints a table of verdicts.

Exit status: 0 without a fault, 1 with one, 2 if the environment does not say what to ask.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace

from local.doctor.checks import Examination, examined_rows
from local.verdicts import print_rows
from settings import SETTING_NAMES, Settings
from settings_reading.readers import SettingsError
from upstream.client import Upstream

USAGE_STATUS = 2
UPSTREAM_VARIABLES = ("OPENAI_API_KEY", "OPENAI_API_KEY_SECRET_ID", "OPENAI_BASE_URL")
COST = "asks the model 2 short questions (about 500 output tokens)"


def settings_in(environ: Mapping[str, str]) -> Settings:
    """The streaming function's settings, as `make run` would give them to it. Raises SettingsError."""
    if not any(environ.get(name) for name in UPSTREAM_VARIABLES):
        raise SettingsError(
            f"no upstream is set: give {', '.join(UPSTREAM_VARIABLES[:-1])} or {UPSTREAM_VARIABLES[-1]}"
        )
    own = {name: value for name, value in environ.items() if name in SETTING_NAMES}
    settings = Settings.from_environment({"LIMITS_TABLE_NAME": "unused", **own})
    return replace(settings, upstream_retries=0)  # a fault should show, not be overcome


def main() -> int:
    """Examine the upstream that the environment names, printing each row as soon as it is known."""
    logging.disable(logging.CRITICAL)  # the table says it
    try:
        upstream = Upstream(settings_in(os.environ))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return USAGE_STATUS
    secrets = (upstream.settings.openai_api_key,)
    print(f"examining {upstream.settings.openai_base_url}: {COST}\n", flush=True)
    is_needed = os.environ.get("RESPONSES", "").strip().lower() not in ("0", "no", "false")
    with closing(upstream):
        return print_rows(examined_rows(Examination(upstream, has_responses=is_needed)), secrets)


if __name__ == "__main__":
    sys.exit(main())
