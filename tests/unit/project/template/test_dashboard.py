"""Dashboard, alarms and saved queries name only metrics, dimensions and log fields that are written."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator

import pytest

from chat_stream.events import ChatEvent, ChoiceFinished, TextDelta, UsageReported
from chat_stream.transcripts.transcript import Interruption, Transcript
from errors import RequestError
from handoff.handoff import MAX_EVENT_BYTES, Handoff
from lambda_stream.environment.log_format import JsonFormatter
from local.template import load_template
from observability.meter import Meter
from observability.request_log import log_answer, log_refusal
from observability.request_trace import RequestTrace
from settings import Settings
from settings_reading.readers import SettingsError
from tests.support.aws.sam import deployed, function_environment
from tests.support.documentation import PAGES, tables
from tests.support.observability.watched_metrics import Watched, of_alarm, of_widget, widgets
from tests.support.transcripts.transcript_strategies import built

TEMPLATE = load_template()
FUNCTION = "StreamChatFunction"
SECRET = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:openai-AbCdEf"
EVERYTHING = {
    "Dashboard": "true",
    "ArchiveDays": "365",
    "ReservedConcurrency": "50",
    "AlarmThresholds": "5,1,10,30,3",
}
WITHOUT_TRANSCRIPTS = {"Dashboard": "per-caller", "PublishTranscripts": "false"}
(DASHBOARD,) = deployed(TEMPLATE, "AWS::CloudWatch::Dashboard", EVERYTHING).values()
ALARMS = deployed(TEMPLATE, "AWS::CloudWatch::Alarm", EVERYTHING)
QUERIES = deployed(TEMPLATE, "AWS::Logs::QueryDefinition", EVERYTHING)
METRIC_WIDGETS = {widget["title"]: widget for widget in widgets(DASHBOARD, "metric")}
LOG_WIDGETS = {widget["title"]: widget for widget in widgets(DASHBOARD, "log")}

# (namespace, metric) → its unit, and the dimensions by which AWS writes it.
# https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html
# https://docs.aws.amazon.com/lambda/latest/dg/urls-monitoring.html
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
# https://docs.aws.amazon.com/apigateway/latest/developerguide/api-gateway-metrics-and-dimensions.html
BY_AWS = {
    ("AWS/Lambda", "Url4xxCount"): ("Count", {"FunctionName"}),
    ("AWS/Lambda", "Url5xxCount"): ("Count", {"FunctionName"}),
    ("AWS/Lambda", "UrlRequestLatency"): ("Milliseconds", {"FunctionName"}),
    ("AWS/Lambda", "Throttles"): ("Count", {"FunctionName"}),
    ("AWS/Lambda", "Errors"): ("Count", {"FunctionName"}),
    ("AWS/Lambda", "ConcurrentExecutions"): ("Count", {"FunctionName"}),
    ("AWS/Lambda", "AsyncEventsDropped"): ("Count", {"FunctionName"}),
    ("AWS/Lambda", "DestinationDeliveryFailures"): ("Count", {"FunctionName"}),
    ("AWS/ApiGateway", "4XXError"): ("Count", {"ApiName"}),
    ("AWS/ApiGateway", "5XXError"): ("Count", {"ApiName"}),
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): ("Count", {"QueueName"}),
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): ("Seconds", {"QueueName"}),
}
IN_TITLES = {"(s)": "Seconds", "(ms)": "Milliseconds", "(USD)": "None", "per second": "Count/Second"}

USAGE = UsageReported(
    {
        "prompt_tokens": 9,
        "completion_tokens": 50,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
)
WORDS: list[ChatEvent] = [TextDelta(0, "word ")] * 20  # 200 ms, so that they have a speed
ANSWERS = [
    built([*WORDS, USAGE, ChoiceFinished(0, "stop")]),
    built([*WORDS, USAGE, ChoiceFinished(0, "length", True)]),
    *(built(WORDS, Interruption(outcome, "x", "")) for outcome in ("failed", "truncated", "abandoned")),
]


def settings_of(parameters: dict[str, str]) -> Settings:
    """The function's settings in a deployment with these parameters."""
    given = {"OpenAiApiKeySecretId": SECRET, **parameters}
    return Settings.from_environment(function_environment(TEMPLATE, FUNCTION, given))


@pytest.fixture
def written(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> dict[Watched, str]:
    """What the deployed function writes after all kinds of answers and failures: metrics and their units."""
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", FUNCTION)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    meter = Meter(settings_of(EVERYTHING))
    for answer in ANSWERS:
        meter.answered(Transcript({**answer.document, "cost": {"usd": 0.5}}))
    meter.refused(RequestError(429, "tokens_per_day_exceeded", "No."), RequestTrace(), "r-1")
    too_large = built([TextDelta(0, "x" * MAX_EVENT_BYTES), ChoiceFinished(0, "stop")])
    caplog.set_level(logging.CRITICAL, "handoff.handoff")  # not 1 MB of log
    Handoff(Settings(transcript_function_name="companion")).send(too_large, remaining_s=30)
    return dict(metrics_in(capsys.readouterr().out))


def metrics_in(output: str) -> Iterator[tuple[Watched, str]]:
    for line in map(json.loads, filter(None, output.splitlines())):
        (directive,) = line["_aws"]["CloudWatchMetrics"]
        for names in directive["Dimensions"]:
            dimensions = frozenset((name, line[name]) for name in names)
            for metric in directive["Metrics"]:
                yield Watched(directive["Namespace"], metric["Name"], dimensions), metric["Unit"]


def unit_of(metric: Watched, written: dict[Watched, str]) -> str:
    """The unit of a metric that exists. Of AWS's own, the dimension must name something in the stack."""
    if metric.namespace == "DeltaRelay":
        assert metric in written
        return written[metric]
    unit, names = BY_AWS[metric.namespace, metric.name]
    assert {name for name, _ in metric.dimensions} == names
    ((name, value),) = metric.dimensions
    resource, _, attribute = value.partition(".")
    if name == "ApiName":  # the API's title
        assert TEMPLATE["Resources"]["RestApi"]["Properties"]["DefinitionBody"]["info"]["title"] == {
            "Ref": value
        }
    else:
        kind = TEMPLATE["Resources"][resource]["Type"]
        assert (name, kind, attribute) in {
            ("FunctionName", "AWS::Serverless::Function", ""),
            ("QueueName", "AWS::SQS::Queue", "QueueName"),
        }
    return unit


def test_every_metric_of_the_dashboard_is_written_in_the_unit_of_its_title(
    written: dict[Watched, str],
) -> None:
    for title, widget in METRIC_WIDGETS.items():
        unit = next((unit for ending, unit in IN_TITLES.items() if title.endswith(ending)), "Count")
        metrics = list(of_widget(widget))
        assert metrics
        assert {unit_of(metric, written) for metric in metrics} == {unit}, title


def test_every_metric_of_an_alarm_is_written(written: dict[Watched, str]) -> None:
    seen = [unit_of(metric, written) for alarm in ALARMS.values() for metric in of_alarm(alarm)]
    assert len(seen) >= len(ALARMS) > 10


def test_dashboard_shows_every_outcome() -> None:
    shown = {dict(metric.dimensions)["outcome"] for metric in of_widget(METRIC_WIDGETS["Answers by outcome"])}
    assert shown == {answer.outcome for answer in ANSWERS}
    assert len(shown) == 5


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> tuple[set[str], set[str]]:
    """The fields of a record of an answer, and of a refusal."""
    transcript = Transcript({**ANSWERS[1].document, "cost": {"usd": 0.5}})
    trace = RequestTrace()
    trace.route, trace.caller = "/v1/chat/completions", "web"
    with caplog.at_level(logging.INFO):
        log_answer(transcript)
        log_refusal(RequestError(429, "tokens_per_day_exceeded", "No."), trace)
    for record in caplog.records:
        record.aws_request_id = "r-1"  # as the runtime adds it
    answer, refusal = (json.loads(JsonFormatter().format(record)).keys() for record in caplog.records)
    of_logs = {"@timestamp", "@message", "@log"}
    return answer | of_logs, refusal | of_logs


def fields_of(query: str) -> set[str]:
    """The fields in a query of Logs Insights: its words but keywords, strings and names that it defines."""
    bare = re.sub(r"'[^']*'|\"[^\"]*\"", "", query)
    own = set(re.findall(r" as (\w+)", bare))
    words = set(re.findall(r"@?[a-z]\w*", bare, re.IGNORECASE))
    syntax = {
        "SOURCE", "fields", "filter", "stats", "sort", "limit", "desc", "by", "as", "like",
        "sum", "count", "ispresent",
    }  # fmt: skip
    return words - own - syntax


@pytest.mark.parametrize(
    "query", [*(q["QueryString"] for q in QUERIES.values()), *(w["query"] for w in LOG_WIDGETS.values())]
)
def test_every_field_of_a_query_is_logged(query: str, logged: tuple[set[str], set[str]]) -> None:
    answer, refusal = logged
    fields = fields_of(query)
    assert fields
    assert fields <= (refusal if '"refused"' in query else answer), fields


def test_a_field_that_is_not_logged_is_found() -> None:
    assert fields_of("filter ispresent(cost_eur) | stats sum(cost_eur) as sum_eur by caller") == {
        "cost_eur",
        "caller",
    }


@pytest.mark.parametrize("parameters", [{"Dashboard": "true"}, EVERYTHING, WITHOUT_TRANSCRIPTS])
def test_saved_queries_ask_the_logs_that_the_deployment_has(parameters: dict[str, str]) -> None:
    groups = deployed(TEMPLATE, "AWS::Logs::LogGroup", parameters)
    queries = deployed(TEMPLATE, "AWS::Logs::QueryDefinition", parameters)
    assert set(queries) == {"OneAnswerQuery", "SlowestAnswersQuery", "SpendingQuery", "RefusalsQuery"}
    asked = {group for query in queries.values() for group in query["LogGroupNames"]}
    assert asked == groups.keys()


@pytest.mark.parametrize("parameters", [{"Dashboard": "true"}, EVERYTHING, WITHOUT_TRANSCRIPTS])
def test_dashboard_shows_only_queues_that_the_deployment_has(parameters: dict[str, str]) -> None:
    (dashboard,) = deployed(TEMPLATE, "AWS::CloudWatch::Dashboard", parameters).values()
    metrics = [metric for widget in widgets(dashboard, "metric") for metric in of_widget(widget)]
    shown = {value for metric in metrics for name, value in metric.dimensions if name == "QueueName"}
    queues = deployed(TEMPLATE, "AWS::SQS::Queue", parameters)
    assert shown == {f"{queue}.QueueName" for queue in queues}


def test_dashboard_marks_the_reservation_and_the_alarms_threshold() -> None:
    lines = {title: widget.get("annotations", {}) for title, widget in METRIC_WIDGETS.items()}
    assert lines["Answers that stream at once"] == {"horizontal": [{"label": "reserved", "value": 50}]}
    assert lines["Time to first token (s)"] == {"horizontal": [{"label": "alarm", "value": 30}]}
    (bare,) = deployed(
        TEMPLATE, "AWS::CloudWatch::Dashboard", {"Dashboard": "true", "AlarmThresholds": "0,0,0,0,0"}
    ).values()
    annotations = [w["annotations"] for w in widgets(bare, "metric") if "annotations" in w]
    assert annotations == [{"horizontal": []}] * 2


def test_dashboard_is_named_by_its_region_because_names_are_the_accounts() -> None:
    assert DASHBOARD["DashboardName"] == "AWS::StackName-AWS::Region"


@pytest.mark.parametrize(
    ("dashboard", "metrics"), [("false", "off"), ("true", "on"), ("per-caller", "per-caller")]
)
def test_dashboard_has_its_metrics_written(dashboard: str, metrics: str) -> None:
    assert settings_of({"Dashboard": dashboard}).metrics == metrics


def test_settings_may_ask_for_metrics_only_without_the_dashboard() -> None:
    with_settings = {"Settings": '{"METRICS": "per-caller"}'}
    assert settings_of(with_settings).metrics == "per-caller"
    with pytest.raises(SettingsError, match="METRICS is set twice"):
        settings_of({**with_settings, "Dashboard": "true"})


def test_page_lists_the_widgets_and_the_saved_queries() -> None:
    heads = {table[0][0]: table[2:] for table in tables(PAGES["docs/operations.md"])}
    assert [row[0] for row in heads["widget"]] == [
        widget["properties"]["title"] for widget in json.loads(DASHBOARD["DashboardBody"])["widgets"]
    ]
    names = {query["Name"].removeprefix("AWS::StackName/") for query in QUERIES.values()}
    assert {row[0] for row in heads["saved query"]} == names
