"""The metrics are those that docs/metrics.md describes, and the values of their dimensions are bounded."""

from __future__ import annotations

import io
import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from aws_lambda_powertools.metrics import MetricUnit

from chat_stream.events import ChoiceFinished, TextDelta, UsageReported
from chat_stream.transcripts.transcript import Interruption
from errors import RequestError
from observability.meter import Meter
from observability.metrics import FUNCTION, KNOWN_REASONS, METRICS, model_dimension
from observability.request_trace import RequestTrace
from settings import Settings
from tests.support.documentation import PAGES, tables
from tests.support.project import PROJECT
from tests.support.transcripts.transcript_strategies import built

ON = Settings(metrics="on", allowed_models=("gpt-6-luna", "gpt-6.1-*"))
PER_CALLER = Settings(metrics="per-caller")
TEXT = TextDelta(0, "Hello")
DONE = ChoiceFinished(0, "stop")
USAGE = UsageReported({"prompt_tokens": 9, "completion_tokens": 5})


class _WriteCounter(io.StringIO):
    """A standard output that keeps each write apart."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return super().write(text)


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> _WriteCounter:
    counter = _WriteCounter()
    monkeypatch.setattr("observability.metrics.sys", SimpleNamespace(stdout=counter))
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "chat")
    return counter


def lines(output: _WriteCounter) -> list[dict[str, Any]]:
    assert all(write.endswith("\n") and write.count("\n") == 1 for write in output.writes)
    return [json.loads(write) for write in output.writes]


def sets_of(output: _WriteCounter, metric: str) -> list[dict[str, str]]:
    """The dimensions with which a metric was written."""
    found = []
    for line in lines(output):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        assert directive["Namespace"] == "DeltaRelay"
        if metric in {one["Name"] for one in directive["Metrics"]}:
            found += [{name: line[name] for name in names} for names in directive["Dimensions"]]
    return found


def answer(*events: Any, model: str = "gpt-6-luna", caller: str = "web", **named: Any) -> Any:
    request = {"model": model, "messages": [], "parameters": {}}
    return built(list(events), caller=caller, route="/chatCompletion", request=request, **named)


def test_every_metric_is_documented_with_its_unit_and_dimensions() -> None:
    rows = tables(PAGES["docs/metrics.md"])[0][2:]
    sets = {
        metric.name: "; ".join(
            ", ".join(f"`{name}`" for name in names) or "\N{EN DASH}" for names in metric.dimensions
        )
        for metric in METRICS
    }
    assert [row[:3] for row in rows] == [[f"`{m.name}`", m.unit, sets[m.name]] for m in METRICS]


def test_every_dimension_is_documented() -> None:
    rows = tables(PAGES["docs/metrics.md"])[1][2:]
    used = {name for metric in METRICS for names in metric.dimensions for name in names}
    assert {row[0].strip("`") for row in rows} == used


def test_names_and_units_are_what_cloudwatch_takes() -> None:
    """PutMetricData: names of up to 255 ASCII characters, not beginning with a colon."""
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names) <= 100
    dimensions = {name for metric in METRICS for names in metric.dimensions for name in names}
    assert all(
        re.fullmatch(r"[A-Za-z][A-Za-z0-9_.]{0,254}", name) for name in {*names, *dimensions, FUNCTION}
    )
    assert {metric.unit for metric in METRICS} <= {unit.value for unit in MetricUnit}


def test_an_answer_is_written_with_its_model_and_without_its_caller(output: _WriteCounter) -> None:
    Meter(ON).answered(answer(TEXT, USAGE, DONE))
    base = {FUNCTION: "chat"}
    assert sets_of(output, "gen_ai.client.inference.duration") == [
        base,
        {**base, "gen_ai.request.model": "gpt-6-luna"},
    ]
    assert sets_of(output, "relay.answers") == [
        {**base, "outcome": "completed"},
        {**base, "outcome": "completed", "gen_ai.request.model": "gpt-6-luna"},
    ]
    assert "web" not in output.getvalue()
    (tokens,) = [line for line in lines(output) if "gen_ai.client.inference.usage.input_tokens" in line]
    assert tokens["gen_ai.client.inference.usage.input_tokens"] == [9.0]
    assert tokens["requestId"]
    assert "relay.cost_usd" not in tokens


def test_callers_are_dimensions_only_if_asked_for(output: _WriteCounter) -> None:
    Meter(PER_CALLER).answered(answer(TEXT, DONE, caller=":jos\N{LATIN SMALL LETTER E WITH ACUTE}"))
    assert {FUNCTION: "chat", "caller": "jos\\xe9"} in sets_of(output, "gen_ai.client.inference.duration")
    assert {FUNCTION: "chat", "outcome": "completed", "caller": "jos\\xe9"} in sets_of(
        output, "relay.answers"
    )
    Meter(PER_CALLER).answered(answer(TEXT, DONE, caller="a\nb "))
    assert {FUNCTION: "chat", "caller": "a?b"} in sets_of(output, "gen_ai.client.inference.duration")


def test_the_service_name_of_powertools_is_no_dimension(
    output: _WriteCounter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POWERTOOLS_SERVICE_NAME", "chat-service")
    Meter(ON).answered(answer(TEXT, DONE))
    assert {FUNCTION: "chat", "outcome": "completed"} in sets_of(output, "relay.answers")
    assert "chat-service" not in output.getvalue()


@pytest.mark.parametrize(
    ("model", "dimension"),
    [
        ("gpt-6-luna", "gpt-6-luna"),
        ("gpt-6.1-mini", "gpt-6.1-*"),
        ("gpt-6.1-invented-by-a-caller", "gpt-6.1-*"),
        ("anything", "other"),
        (None, "other"),
    ],
)
def test_a_models_dimension_is_the_entry_that_allows_it(model: str | None, dimension: str) -> None:
    assert model_dimension(model, ON) == dimension


def test_without_allowed_models_only_the_default_one_is_a_dimension() -> None:
    settings = Settings(default_model="gpt-6-luna")
    assert [model_dimension(model, settings) for model in ("gpt-6-luna", "x")] == ["gpt-6-luna", "other"]


@pytest.mark.parametrize(
    ("code", "error_type"), [("upstream_timeout", "upstream_timeout"), ("invented 4711", "_OTHER")]
)
def test_a_reason_of_the_upstreams_own_is_no_dimension(
    output: _WriteCounter, code: str, error_type: str
) -> None:
    request = {"model": "gpt-6-luna", "messages": [], "parameters": {}}
    Meter(ON).answered(built([], Interruption("failed", code, "No."), request=request))
    assert {FUNCTION: "chat", "outcome": "failed", "error.type": error_type} in sets_of(
        output, "relay.answers"
    )


def test_every_code_of_the_relays_own_is_known() -> None:
    sources = [*(PROJECT / "functions/stream_chat/upstream").rglob("*.py")]
    named = {name for file in sources for name in re.findall(r'"(upstream_[a-z_]+)"', file.read_text())}
    assert "upstream_timeout" in named
    assert named <= KNOWN_REASONS


def test_a_refusal_is_counted_by_its_status(output: _WriteCounter) -> None:
    trace = RequestTrace()
    trace.caller = "web"
    meter = Meter(PER_CALLER)
    meter.refused(RequestError(429, "tokens_per_day_exceeded", "No."), trace, "r-1")
    base = {FUNCTION: "chat", "http.response.status_code": "429"}
    assert sets_of(output, "relay.refusals") == [base, {**base, "caller": "web"}]


def test_a_process_counts_as_one_cold_start(output: _WriteCounter) -> None:
    meter = Meter(ON)
    for number in range(3):
        meter.handoff_failed(f"r-{number}")
    assert [line.get("relay.cold_starts") for line in lines(output)] == [[1.0], None, None]
    assert [line["relay.handoff.failures"] for line in lines(output)] == [[1.0]] * 3


def test_a_warning_of_a_shutdown_is_counted(output: _WriteCounter) -> None:
    Meter(ON).shutdown_warned("r-1")
    assert sets_of(output, "relay.model_shutdown_warnings") == [{FUNCTION: "chat"}]


def test_lines_have_the_level_that_is_always_logged(output: _WriteCounter) -> None:
    Meter(Settings(metrics="on", log_level="ERROR")).handoff_failed("r-1")
    (line,) = lines(output)
    assert line["level"] == "ERROR"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", line["timestamp"])


def test_off_writes_nothing(output: _WriteCounter) -> None:
    meter = Meter(Settings())
    meter.answered(answer(TEXT, DONE))
    meter.refused(RequestError(404, "unknown_route", "No."), RequestTrace(), "r-1")
    meter.handoff_failed("r-1")
    meter.shutdown_warned("r-1")
    assert output.writes == []
