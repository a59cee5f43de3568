"""Every event in events/, with the variables that `sam local` derives from the template's defaults."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

from local.template import load_template
from settings import Settings
from tests.support.aws.sam import sam_says
from tests.support.aws.sam_local_answers import EVENTS, SAID_BY, check_return, function_of
from tests.support.documentation import blocks
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

# How the SAM CLI understands the parameters of samconfig.toml, and of a command of the documentation.
OVERRIDES = """
import json, sys
from samcli.cli.types import CfnParameterOverridesType
kind = CfnParameterOverridesType()
print(json.dumps([kind.convert(given, None, None) for given in json.loads(sys.argv[1])]))
"""


@pytest.fixture(scope="module")
def variables(sam: Path) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = sam_says(sam, VARIABLES)
    return found


def invoke(event: Path, variables: dict[str, dict[str, str]], **more: str) -> HandlerRun:
    function = function_of(event.stem)
    properties = load_template()["Resources"][function]["Properties"]
    folder = properties["CodeUri"].removeprefix("functions/")
    module = properties["Handler"].removesuffix(".handle")
    content: Any = json.loads(event.read_text(encoding="utf-8"))
    return run_handler(folder, module, content, {**variables[function], **more})


def test_parameters_of_samconfig_and_of_every_documented_command_arrive_as_they_are_meant(sam: Path) -> None:
    config = tomllib.loads((PROJECT / "samconfig.toml").read_text(encoding="utf-8"))["default"]
    given = [
        config[name]["parameters"]["parameter_overrides"] for name in ("local_invoke", "local_start_api")
    ]
    given += [words for code in blocks("sh") if (words := parameter_words(code))]
    understood: list[dict[str, str]] = sam_says(sam, OVERRIDES, json.dumps(given))
    assert understood[0] == understood[1]
    assert understood[0]["AuthMode"] == "none"
    assert len(understood) > 6
    assert "5,1,10,15,3" in [parameters.get("AlarmThresholds") for parameters in understood]
    for parameters in understood:
        assert parameters.keys() <= load_template()["Parameters"].keys()
        # A JSON value without a second pair of quotes would be cut off after its first brace.
        environment = {
            "OPENAI_API_KEY": "k",
            "LIMITS_TABLE_NAME": "t",
            "AUTH_MODE": parameters.get("AuthMode", ""),
            "SETTINGS_JSON": parameters.get("Settings", ""),
        }
        Settings.from_environment(environment)


def parameter_words(code: str) -> list[str]:
    """The words that bash makes of what follows --parameter-overrides in a block, if it is there."""
    _, is_there, rest = code.partition("--parameter-overrides ")
    if not is_there:
        return []
    program = f"SECRET=arn; HASH={'0' * 64}; printf '%s\\0' {rest}"
    done = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


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
    [
        ({"AUTH_MODE": "jwt"}, "JWT_ISSUER"),
        ({"IDLE_TIMEOUT_S": "soon"}, "IDLE_TIMEOUT_S"),
        ({"SETTINGS_JSON": '{"IDLE_TIMEOUT": 9}'}, "did you mean IDLE_TIMEOUT_S?"),
    ],
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
