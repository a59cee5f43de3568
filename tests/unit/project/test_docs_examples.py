"""What the documentation shows is what the code takes."""

from __future__ import annotations

import functools
import json
import re
import subprocess
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import botocore.session
import pytest
import snapshot_restore_py  # type: ignore[import-untyped]
from botocore import xform_name

from chat_stream.transcripts import read_transcript
from chat_stream.transcripts.pointer import TranscriptPointer
from lambda_stream import streaming_handler
from pricing.cost import cost_bound
from pricing.price_file import prices_of
from quota.admission import LimitUse
from quota.usage_report import usage_report
from quota.usage_windows import window_at
from settings import Settings
from tests.support.documentation import NOT_RUN, blocks, languages, named_files, runnable_commands
from tests.support.project import PROJECT
from transcript_routes import parse_routes

USAGE, LIMITS, BUDGETS, PRICES, MESSAGE, POINTER, ROUTES = blocks("json")
SDK, SDK_WHOLE, COSTS, HANDLER, TRACED, RESTORED, CONSUMER = blocks("python")  # the first two: tests/e2e

# Options of the AWS CLI itself, not of one operation.
CLI_OPTIONS = {"--cli-read-timeout", "--cli-binary-format", "--query", "--output", "--endpoint-url"}


def no_fetch(bucket: str, key: str) -> bytes:
    raise AssertionError("nothing to fetch")


def run(code: str, **names: Any) -> dict[str, Any]:
    """The names that a block of Python leaves behind."""
    exec(code, names)
    return names


# -- JSON ------------------------------------------------------------------------------------------------


def test_the_example_limits_are_limits() -> None:
    environment = {
        "OPENAI_API_KEY": "k",
        "LIMITS_TABLE_NAME": "t",
        "TOKENS_PER_DAY": "9",
        "CALLER_LIMITS": LIMITS,
    }
    settings = Settings.from_environment(environment)
    assert settings.for_caller("batch").tokens_per_day is None
    trial = settings.for_caller("arn:aws:sts::123456789012:assumed-role/trial")
    assert (trial.tokens_per_day, trial.max_output_tokens) == (20000, 500)


def test_the_example_budgets_are_settings() -> None:
    environment = {"OPENAI_API_KEY": "k", "LIMITS_TABLE_NAME": "t", "SETTINGS_JSON": BUDGETS}
    settings = Settings.from_environment(environment)
    batch = settings.for_caller("batch")
    assert (settings.usd_per_day, settings.usd_per_month) == (2, 25)
    assert (batch.usd_per_day, batch.usd_per_month) == (None, 400)


def test_the_example_usage_is_what_callers_get() -> None:
    now = datetime(2026, 11, 25, 9, 30, tzinfo=UTC).timestamp()
    uses = [
        LimitUse(window_at("requests", "minute", now), 60, 3, 0),
        LimitUse(window_at("usd", "day", now), 500_000_000, 312_500_000, 62_500_000),
    ]
    assert json.loads(usage_report(uses).body) == json.loads(USAGE)


def test_the_example_prices_are_prices() -> None:
    settings = Settings.from_environment({"OPENAI_BASE_URL": "http://localhost/v1", "MODEL_PRICES": PRICES})
    prices = prices_of(settings.openai_base_url, settings.model_prices)
    bound = cost_bound("llama-4", prices, input_tokens=1_000_000, output_tokens=1_000_000)
    assert bound is not None
    assert bound.usd == Decimal("0.1") + Decimal("0.4")
    assert cost_bound("gpt-6-sol", prices, input_tokens=1, output_tokens=1) is None


def test_the_example_message_is_a_transcript() -> None:
    assert read_transcript({"body": MESSAGE}, no_fetch).outcome == "completed"


def test_the_example_pointer_is_one_to_the_example_message() -> None:
    assert TranscriptPointer.in_document(json.loads(POINTER)).id == json.loads(MESSAGE)["id"]


def test_the_example_routes_are_routes() -> None:
    names = [route.queue_url.rsplit("/", 1)[-1] for route in parse_routes(ROUTES)]
    assert names == ["transcripts", "failures", "web.fifo"]


# -- Python ----------------------------------------------------------------------------------------------


def test_the_example_of_costs_prices_the_example_usage() -> None:
    names = run(COSTS)
    assert names["usage"] == json.loads(MESSAGE)["response"]["usage"]
    assert 0 < names["cost"].usd < names["bound"].usd


def test_the_example_consumer_reads_the_example_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    run(CONSUMER)["handle"]({"Records": [{"body": MESSAGE}]}, None)
    message = json.loads(MESSAGE)
    usage = message["response"]["usage"]
    assert capsys.readouterr().out == f"{message['id']} completed {usage}\n"


def test_the_example_handler_streams_two_lines_and_then_works_on(capsys: pytest.CaptureFixture[str]) -> None:
    response = run(HANDLER)["handle"]({}, None)
    assert (response["statusCode"], response["body"]) == (200, "one\ntwo\n")
    assert response["headers"]["content-type"] == "text/plain; charset=utf-8"
    assert capsys.readouterr().out == "the caller has it all\n"


def test_the_example_of_tracing_streams_inside_of_the_decorator() -> None:
    traced: list[Any] = []

    def datadog_lambda_wrapper(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(event: Any, context: Any, **others: Any) -> Any:
            traced.append(function(event, context, **others))
            return traced[-1]

        return wrapper

    names = run(TRACED, datadog_lambda_wrapper=datadog_lambda_wrapper, streaming_handler=streaming_handler)
    response = names["handle"]({}, None)
    assert (response["statusCode"], response["body"]) == (200, "hello")
    assert traced == [{"statusCode": 200}]


def test_the_example_hook_closes_the_client_after_a_restore() -> None:
    closed: list[str] = []
    run(RESTORED, client=SimpleNamespace(close=lambda: closed.append("closed")))
    hook, arguments, named = snapshot_restore_py.get_after_restore().pop()
    hook(*arguments, **named)
    assert closed == ["closed"]


# -- commands --------------------------------------------------------------------------------------------


def test_every_language_of_the_documentation_has_its_tests() -> None:
    # mermaid is a picture, "" what a program prints; sql is for the tests of the archive
    assert languages() == {"", "sh", "python", "json", "sql", "js", "jsx", "mermaid"}


def test_the_only_script_without_a_name_is_the_one_that_needs_a_login() -> None:
    scripts = [*blocks("js"), *blocks("jsx")]
    unnamed = [code for code in scripts if not code.startswith("// ")]
    assert len(named_files("")) == len(scripts) - 1
    assert [code.splitlines()[0] for code in unnamed] == ["const transport = new DefaultChatTransport({"]


@pytest.mark.parametrize("beginning", sorted(NOT_RUN))
def test_every_command_that_is_not_run_is_on_a_page(beginning: str) -> None:
    assert [code for code in blocks("sh") if code.startswith(beginning)]


def test_most_commands_are_run() -> None:
    assert len(runnable_commands()) >= 6


@pytest.mark.parametrize("code", blocks("sh"), ids=lambda code: code.split("\n")[0][:60])
def test_every_command_is_valid_bash(code: str) -> None:
    checked = subprocess.run(["bash", "-n"], input=code, capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_target_of_make_exists() -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    targets = {line.split()[1] for code in blocks("sh") for line in code.splitlines() if line[:5] == "make "}
    assert targets == {"run", "test", "caller", "probe", "doctor"}
    assert all(f"\n{target}:" in makefile for target in targets)


def aws_commands() -> list[list[str]]:
    """The commands of the AWS CLI: service, operation, then the options."""
    joined = "".join(blocks("sh")).replace("\\\n", " ")
    lines = [line for line in joined.splitlines() if "aws " in line and not line.startswith("curl ")]
    words = [re.split(r" && |[;)]", line.partition("aws ")[2])[0].split() for line in lines]
    return [[*command[:2], *(word for word in command if word.startswith("--"))] for command in words]


@pytest.mark.parametrize("command", aws_commands(), ids=" ".join)
def test_every_command_of_the_aws_cli_names_an_operation_and_its_options(command: list[str]) -> None:
    service, operation, *options = command
    if service == "s3":  # the CLI's own
        assert (operation, options) in (("sync", []), ("rb", ["--force"]))
        return
    model = botocore.session.get_session().get_service_model(service)
    operations = {xform_name(name, "-"): name for name in model.operation_names}
    shape = model.operation_model(operations[operation]).input_shape
    assert shape is not None
    known = {f"--{xform_name(name, '-')}" for name in shape.members} | CLI_OPTIONS
    assert [option for option in options if option not in known] == []


def test_paths_that_the_commands_name_exist() -> None:
    joined = "".join(blocks("sh"))
    for name in ("events/chat-text-get.json", "functions/archive_transcripts/duckdb_view.sql"):
        assert name in joined
        assert Path(PROJECT / name).is_file()
