"""`python -m local.probe`, which is `make probe`: asks a relay, and prints a table of verdicts.

Exit status: 0 without a fault, 1 with one, 2 if an option is missing or cannot be used.
"""

from __future__ import annotations

import os
import sys

from local.probe.caller import Caller
from local.probe.checks import probed
from local.probe.options import ProbeOptions, ProbeOptionsError
from local.probe.session import Session
from local.verdicts import print_rows

USAGE_STATUS = 2
COST = (
    "read-only; asks the model 9 short questions (about 1,500 output tokens), and 2 more with SLOW=1 or if"
    " it is the scripted model"
)


def main() -> int:
    """Probe the relay that the environment names, printing each row as soon as it is known."""
    try:
        caller = Caller(ProbeOptions.from_environment(os.environ))
    except ProbeOptionsError as error:
        print(error, file=sys.stderr)
        print("usage: make probe URL=https://… [KEY=…] [AUTH=iam] [ORIGIN=https://…]", file=sys.stderr)
        return USAGE_STATUS
    with caller:
        print(f"probing {caller.options.url}: {COST}\n", flush=True)
        return print_rows(probed(Session(caller)), caller.secrets)


if __name__ == "__main__":
    sys.exit(main())
