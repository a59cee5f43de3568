"""Every event in events/, with the variables that `sam local` derives from the template's defaults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.template import load_template
from tests.support.aws.sam import find_sam, sam_says
from tests.support.aws.sam_local_answers import EVENTS, SAID_BY, check_return, function_of
from tests.support.project import PROJECT
from tests.support.runtime.handler_process import HandlerRun, run_handler

VARIABLES = """
import json
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider
from samcli.local.lambdafn.env_vars import EnvironmentVariables

stacks, _ = SamLocalStackProvider.get_stacks("template.yaml", parameter_overrides={"Architecture": "x86_64"})
print(json.dumps({
    function.name: EnvironmentVariables(
        function.name, function.memory, function.timeout, function.handler,
        variables=function.environment["Variables"],
    ).resolve()
    for function in SamFunctionProvider(stacks, use_raw_codeuri=True).get_all()
}))
"""


@pytest.fixture(scope="module")
def variables() -> dict[str, dict[str, str]]:
    sam = find_sam()
    if sam is None:
        pytest.skip("no SAM CLI: `make test` sets one up, or DELTA_RELAY_SAM names one")
    found: dict[str, dict[str, str]] = sam_says(sam, VARIABLES)
    return found


def invoke(event: Path, variables: dict[str, dict[str, str]], **more: str) -> HandlerRun:
    function = function_of(event.stem)
    properties = load_template()["Resources"][function]["Properties"]
    folder = properties["CodeUri"].removeprefix("functions/")
    module = properties["Handler"].removesuffix(".handle")
    content: Any = json.loads(event.read_text(encoding="utf-8"))
    return run_handler(folder, module, content, {**variables[function], **more})


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.stem)
def test_every_event_is_answered_and_one_log_line_names_what_is_switched_off(
    event: Path, variables: dict[str, dict[str, str]]
) -> None:
    run = invoke(event, variables)
    assert run.status == 0, run.log
    assert run.log.count(SAID_BY[function_of(event.stem)]) == 1
    assert "Traceback" not in run.log
    check_return(event.stem, run.returned, has_key=False)


@pytest.mark.parametrize("name", ["health", "chat-sse", "chat-text-get"])
def test_with_an_api_key_only_the_caller_key_is_missing(
    name: str, variables: dict[str, dict[str, str]]
) -> None:
    run = invoke(PROJECT / "events" / f"{name}.json", variables, OPENAI_API_KEY="sk-test")
    assert run.status == 0, run.log
    check_return(name, run.returned, has_key=True)


@pytest.mark.parametrize(
    ("setting", "message"),
    [({"AUTH_MODE": "jwt"}, "JWT_ISSUER"), ({"IDLE_TIMEOUT_S": "soon"}, "IDLE_TIMEOUT_S")],
)
def test_an_invalid_setting_is_reported_to_the_caller(
    setting: dict[str, str], message: str, variables: dict[str, dict[str, str]]
) -> None:
    run = invoke(PROJECT / "events" / "chat-sse.json", variables, OPENAI_API_KEY="sk-test", **setting)
    assert (run.status, run.returned["statusCode"]) == (0, 500), run.log
    assert message in json.loads(run.returned["body"])["error"]["message"]


def test_on_lambda_an_invalid_setting_still_ends_the_start(
    variables: dict[str, dict[str, str]],
) -> None:
    run = invoke(PROJECT / "events" / "health.json", variables, AWS_SAM_LOCAL="", OPENAI_API_KEY="sk-test")
    assert run.status == 1
    assert "TRANSCRIPT_DEAD_LETTER_QUEUE_URL must be the URL of an SQS queue" in run.last_line
