"""A variable that is misspelt is named in the function's log when it starts."""

from __future__ import annotations

import pytest

from tests.support.project import PROJECT
from tests.support.runtime.recording_runtime_api import runtime

VARIABLES = {
    "LAMBDA_TASK_ROOT": str(PROJECT / "functions" / "stream_chat"),
    "PYTHONPATH": str(PROJECT / "shared"),
    "OPENAI_API_KEY": "sk-any",
    "AWS_LAMBDA_FUNCTION_NAME": "f",
    "POWERTOOLS_SERVICE_NAME": "s",
    "OTHER_PROGRAMS": "x",
}
HEALTH = {"version": "2.0", "rawPath": "/health", "requestContext": {"http": {"method": "GET"}}}


@pytest.mark.parametrize("misspelt", [{}, {"ALLOWED_MODEL": "s3cret", "KEEPALIVE_S": "5"}])
def test_a_misspelt_variable_is_named_without_its_value_and_the_function_serves(
    misspelt: dict[str, str],
) -> None:
    with runtime("app.handle", {**VARIABLES, **misspelt}) as (api, process):
        assert api.invoke(HEALTH).prelude["statusCode"] == 200
    lines = [line for line in process.log.splitlines() if "is not a setting" in line]
    assert len(lines) == len(misspelt)
    assert all(name in "".join(lines) for name in misspelt)
    assert "s3cret" not in process.log
