"""Every alarm means that an operator has something to do, and each can be switched off."""

from __future__ import annotations

import re
from typing import Any

import pytest

from local.template import load_template
from tests.support.aws.sam import consumers_queues, deployed, evaluate
from tests.support.documentation import PAGES, tables
from tests.support.observability.watched_metrics import of_alarm

TEMPLATE = load_template()
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
TOPIC = "arn:aws:sns:eu-central-1:123456789012:on-call"
EVERYTHING = {"Dashboard": "true", "ArchiveDays": "365", "AlarmThresholds": "5,1,10,30,3"}
ALARMS = deployed(TEMPLATE, "AWS::CloudWatch::Alarm", EVERYTHING)
QUEUES = deployed(TEMPLATE, "AWS::SQS::Queue", EVERYTHING)
REDRIVEN = consumers_queues(TEMPLATE)
OF_TRANSCRIPTS = {
    "UndeliveredTranscriptsAlarm", "TranscriptDeadLettersAlarm", "TranscriptOnlyInLogAlarm",
    "TranscriptGivenUpAlarm", "TranscriptLostAlarm",
}  # fmt: skip
OF_ANSWERS = ("ServerErrorsAlarm", "ThrottlesAlarm", "FailedAnswersAlarm", "FirstTokenAlarm")
BY_THRESHOLD = (*OF_ANSWERS, "TranscriptQueueAgeAlarm")  # in the order of AlarmThresholds


def alarms(**parameters: str) -> set[str]:
    """The alarms of a deployment."""
    return set(deployed(TEMPLATE, "AWS::CloudWatch::Alarm", parameters))


def alarms_on(metric: str, dimension: str) -> list[dict[str, Any]]:
    """The alarms on one metric of one queue or function."""
    return [
        alarm
        for alarm in ALARMS.values()
        if any(
            (watched.name, {value for _, value in watched.dimensions}) == (metric, {dimension})
            for watched in of_alarm(alarm)
        )
    ]


def test_default_deployment_has_no_alarm_that_goes_off_without_a_fault() -> None:
    # Nobody reads the default queue, so its oldest transcript is always days old.
    assert alarms() == OF_TRANSCRIPTS | {"ServerErrorsAlarm", "ThrottlesAlarm"}
    assert "TranscriptQueueAgeAlarm" in alarms(AlarmThresholds="5,1,10,30,3")


def test_without_transcripts_only_answers_raise_alarms() -> None:
    everything = {**EVERYTHING, "ArchiveDays": "0", "PublishTranscripts": "false"}
    assert alarms(**everything) == set(OF_ANSWERS)


def test_alarms_on_the_relays_own_metrics_need_the_dashboard_which_has_them_written() -> None:
    assert alarms(Dashboard="per-caller") - alarms() == {"FailedAnswersAlarm", "FirstTokenAlarm"}


@pytest.mark.parametrize(("place", "name"), list(enumerate(BY_THRESHOLD)))
def test_each_threshold_sets_its_alarm_and_zero_leaves_the_alarm_out(place: int, name: str) -> None:
    thresholds = ["11", "12", "13", "14", "15"]
    given = deployed(
        TEMPLATE, "AWS::CloudWatch::Alarm", {**EVERYTHING, "AlarmThresholds": ",".join(thresholds)}
    )
    assert given[name]["Threshold"] == thresholds[place]
    assert given[name]["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    thresholds[place] = "0"
    left = alarms(**{**EVERYTHING, "AlarmThresholds": ",".join(thresholds)})
    assert given.keys() - left == {name}


@pytest.mark.parametrize(
    ("threshold", "taken"), [("0", True), ("259200", True), ("00", False), ("", False), ("-1", False)]
)
def test_a_threshold_is_a_whole_number(threshold: str, taken: bool) -> None:
    # CloudFormation compares each entry of a CommaDelimitedList with the pattern.
    assert bool(re.search(PARAMETERS["AlarmThresholds"]["AllowedPattern"], threshold)) is taken


def test_page_has_the_default_threshold_of_each_alarm() -> None:
    rows = next(table for table in tables(PAGES["docs/operations.md"]) if table[0][0] == "place")[2:]
    defaults = PARAMETERS["AlarmThresholds"]["Default"].split(",")
    assert [row[:3] for row in rows] == [
        [str(place), f"`{name}`", f"`{default}`"]
        for place, (name, default) in enumerate(zip(BY_THRESHOLD, defaults, strict=True), 1)
    ]


@pytest.mark.parametrize(
    ("failed", "truncated", "answers", "percentage"),
    [(None, 3, 30, 10), (6, 4, 100, 10), (2, None, 2, 0), (None, None, 50, 0), (40, 10, 50, 100)],
)
def test_failed_answers_are_a_percentage_of_all_and_a_single_one_raises_no_alarm(
    failed: int | None, truncated: int | None, answers: int, percentage: float
) -> None:
    functions = {
        "SUM": lambda values: sum(value for value in values if value is not None),
        "FILL": lambda value, default: default if value is None else value,
        "IF": lambda condition, yes, no: yes if condition else no,
    }
    values: dict[str, Any] = {"failed": failed, "truncated": truncated, "answers": answers}
    for query in ALARMS["FailedAnswersAlarm"]["Metrics"]:
        if "Expression" in query:
            values[query["Id"]] = eval(query["Expression"], functions, values)
    assert values["percentage"] == percentage


@pytest.mark.parametrize("name", ["FailedAnswersAlarm", "TranscriptQueueAgeAlarm"])
def test_alarm_on_an_expression_returns_only_that(name: str) -> None:
    queries = ALARMS[name]["Metrics"]
    assert [query["Id"] for query in queries if query["ReturnData"]] == [queries[-1]["Id"]]
    assert "Expression" in queries[-1]


@pytest.mark.parametrize("name", sorted(QUEUES.keys() - REDRIVEN.keys()))
def test_first_dead_letter_raises_an_alarm(name: str) -> None:
    (alarm,) = alarms_on("ApproximateNumberOfMessagesVisible", f"{name}.QueueName")
    assert (alarm["Namespace"], alarm["Statistic"], alarm["Threshold"]) == ("AWS/SQS", "Maximum", "0")


@pytest.mark.parametrize("name", sorted(REDRIVEN))
def test_unread_queue_raises_an_alarm_days_before_messages_expire(name: str) -> None:
    (alarm,) = alarms_on("ApproximateAgeOfOldestMessage", f"{name}.QueueName")
    unit_s = 1 if "MetricName" in alarm else 86400  # an expression counts days
    assert int(alarm["Threshold"]) * unit_s <= int(QUEUES[name]["MessageRetentionPeriod"]) / 2


@pytest.mark.parametrize(
    ("function", "namespace", "metric"),
    [
        ("StreamChatFunction", "DeltaRelay", "UndeliveredTranscripts"),
        ("PublishTranscriptFunction", "AWS/Lambda", "DestinationDeliveryFailures"),
        ("PublishTranscriptFunction", "AWS/Lambda", "AsyncEventsDropped"),
    ],
)
def test_transcript_that_reached_no_queue_raises_an_alarm(function: str, namespace: str, metric: str) -> None:
    (alarm,) = alarms_on(metric, function)
    assert (alarm["Namespace"], alarm["Statistic"], alarm["Threshold"]) == (namespace, "Sum", "0")


@pytest.mark.parametrize("name", ALARMS)
def test_every_alarm_is_off_without_data_and_notifies_the_topic_if_there_is_one(name: str) -> None:
    alarm = ALARMS[name]
    at_threshold = "GreaterThanOrEqualToThreshold" if name in BY_THRESHOLD else "GreaterThanThreshold"
    assert (alarm["ComparisonOperator"], alarm["TreatMissingData"]) == (at_threshold, "notBreaching")
    assert len(alarm["AlarmDescription"]) > 40
    actions = RESOURCES[name]["Properties"]["AlarmActions"]
    assert evaluate(TEMPLATE, actions, {"AlarmTopicArn": TOPIC}) == [TOPIC]
    assert evaluate(TEMPLATE, actions) is None


@pytest.mark.parametrize(
    ("arn", "taken"),
    [
        ("", True),
        ("arn:aws:sns:eu-central-1:123456789012:on-call", True),
        ("arn:aws-cn:sns:cn-north-1:123456789012:on-call", True),
        ("on-call", False),
        ("arn:aws:sqs:eu-central-1:123456789012:on-call", False),
        ("arn:aws:sns:eu-central-1:123456789012:on-call.fifo", False),  # alarms cannot publish to FIFO topics
    ],
)
def test_alarm_topic_is_a_standard_topic_or_empty(arn: str, taken: bool) -> None:
    assert bool(re.search(PARAMETERS["AlarmTopicArn"]["AllowedPattern"], arn)) is taken
