"""Unknown and misspelt settings, and which one was meant."""

from __future__ import annotations

import pytest

from settings import SETTING_NAMES
from settings_reading.unknown_names import misspelt_variables, unknown_settings

MEANT = {
    "OPENAI_BASE_ULR": "OPENAI_BASE_URL",
    "OPENAI_KEY": "OPENAI_API_KEY",
    "openai_api_key": "OPENAI_API_KEY",
    "ALLOWED_MODEL": "ALLOWED_MODELS",
    "AUTHMODE": "AUTH_MODE",
    "KeepAliveS": "KEEP_ALIVE_S",
    "IDLE_TIMEOUT": "IDLE_TIMEOUT_S",
    "REQUESTS_PER_MIN": "REQUESTS_PER_MINUTE",
    "CALLER_KEY": "CALLER_KEYS",
    "JWT_AUDIENCE": "JWT_AUDIENCES",
    "OPENAI_API_KEY_SECRET_ARN": "OPENAI_API_KEY_SECRET_ID",
}
# What Lambda sets, and what other programs on a machine or in a layer read.
OF_OTHERS = (
    "_HANDLER", "_X_AMZN_TRACE_ID", "AWS_LAMBDA_LOG_LEVEL", "AWS_LAMBDA_EXEC_WRAPPER", "AWS_DEFAULT_REGION",
    "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "PYTHONPATH",
    "PYTHONUNBUFFERED", "TZ", "POWERTOOLS_LOG_LEVEL", "POWERTOOLS_SERVICE_NAME", "HTTPS_PROXY", "no_proxy",
    "SSL_CERT_FILE", "DD_API_KEY", "NEW_RELIC_LICENSE_KEY", "OTEL_SERVICE_NAME", "NODE_ENV", "PORT",
    "OPENAI_API_TYPE", "OPENAI_ORG_ID", "OPENAI_PROJECT_ID", "OPENAI_LOG", "AZURE_OPENAI_API_KEY",
    "AZURE_OPENAI_API_VERSION",
    "ANTHROPIC_API_KEY", "GEMINI_API_KEY", "HOME", "USER", "TERM", "SHELL", "DISPLAY", "XDG_SESSION_TYPE",
    "GITHUB_TOKEN", "VIRTUAL_ENV", "MAKEFLAGS", "MAKELEVEL", "EDITOR", "LS_COLORS", "LOGNAME",
)  # fmt: skip


@pytest.mark.parametrize("name", MEANT)
def test_a_misspelt_variable_is_reported_with_the_setting_that_was_meant(name: str) -> None:
    assert misspelt_variables(["PATH", name, "LOG_LEVEL"], SETTING_NAMES) == [(name, MEANT[name])]


def test_a_variable_of_another_program_is_not_reported_and_neither_is_a_setting() -> None:
    for name in (*OF_OTHERS, *SETTING_NAMES):
        assert misspelt_variables([name], SETTING_NAMES) == []


def test_every_setting_is_found_if_a_letter_is_missing() -> None:
    for name in SETTING_NAMES:
        for position in (0, len(name) // 2, len(name) - 1):
            wrong = name[:position] + name[position + 1 :]
            assert unknown_settings([wrong], SETTING_NAMES) == [(wrong, name)]


def test_every_unknown_name_is_reported_even_if_no_setting_resembles_it() -> None:
    names = ["KEEP_ALIVE", "LOG_LEVEL", "SOMETHING_ELSE", ""]
    expected = [("KEEP_ALIVE", "KEEP_ALIVE_S"), ("SOMETHING_ELSE", None), ("", None)]
    assert unknown_settings(names, SETTING_NAMES) == expected
