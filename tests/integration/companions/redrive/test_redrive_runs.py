"""One run: which queues it covers, when it stops and what it reports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from dead_letters import CALL_LIMIT_S
from letter_destinations import Companion
from tests.support.aws.lambda_invoke_endpoint import InvokeAnswer, LambdaInvokeEndpoint
from tests.support.aws.sqs_front import SqsFront
from tests.support.transcripts.redrive_run import (
    DEAD,
    FIFO_DEAD,
    NOTHING_DONE,
    UNDELIVERED,
    bodies_in,
    post,
    redrive,
    report,
    take,
    transcript,
    url_of,
)

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def test_only_the_named_queues_are_redriven(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, transcript("t-0"))
    post(sqs, DEAD, transcript("t-1"))
    run = redrive(sqs, moto_url, companion, {"queues": [DEAD]})
    assert run.returned == {DEAD: {**NOTHING_DONE, "redriven": 1}}
    assert bodies_in(sqs, UNDELIVERED) == [transcript("t-0")]


@pytest.mark.parametrize(
    "event",
    [{"queues": ["transcripts-dead-leters"]}, {"queue": [DEAD]}, {"queues": DEAD}, {"queues": [[DEAD]]}],
)
def test_an_invalid_request_lists_the_queues_and_moves_nothing(
    sqs: SQSClient, front: SqsFront, companion: LambdaInvokeEndpoint, event: Any
) -> None:
    post(sqs, DEAD, transcript("t-0"))
    run = redrive(sqs, front.url, companion, event)
    assert run.status == 1
    assert "RedriveRequestError" in run.last_line
    assert f"{UNDELIVERED}, {DEAD}, {FIFO_DEAD}" in run.last_line
    assert front.calls == []


def test_an_invalid_setting_fails_at_start_and_names_the_variable(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    run = redrive(sqs, moto_url, companion, settings={"TRANSCRIPT_FUNCTION_NAME": ""})
    assert run.status == 1
    assert "SettingsError: TRANSCRIPT_FUNCTION_NAME" in run.last_line


def test_a_queue_that_cannot_be_read_is_reported_and_the_others_are_redriven(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, DEAD, transcript("t-0"))
    settings = {"UNDELIVERED_QUEUE_URL": url_of(sqs, UNDELIVERED) + "-gone"}
    run = redrive(sqs, moto_url, companion, settings=settings)
    outcome = report(run, UNDELIVERED + "-gone")
    assert not outcome["finished"]
    assert "NonExistentQueue" in outcome["stopped"]
    assert report(run, DEAD) == {**NOTHING_DONE, "redriven": 1}


def test_a_report_lists_the_first_hundred_letters_and_counts_all(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, *["no JSON"] * 103)
    run = redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED]})
    outcome = report(run, UNDELIVERED)
    assert (outcome["refused_count"], len(outcome["refused"])) == (103, 100)
    assert sum(record["message"] == "letter refused" for record in run.records) == 103


def test_a_run_stops_in_time_and_the_remaining_letters_can_be_received_at_once(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    names = [f"t-{number}" for number in range(4)]
    post(sqs, UNDELIVERED, *map(transcript, names))
    companion.answers = dict.fromkeys(names, InvokeAnswer(delay_s=1.5))
    run = redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED]}, Companion.limit_s + CALL_LIMIT_S + 3.0)
    outcome = report(run, UNDELIVERED)
    assert 1 <= outcome["redriven"] < 4
    assert (outcome["finished"], outcome["stopped"], outcome["failed"]) == (False, "out of time", [])
    assert len(companion.invocations) == outcome["redriven"]
    assert len(take(sqs, UNDELIVERED)) == 4 - outcome["redriven"]


def test_without_enough_time_nothing_is_received(
    sqs: SQSClient, front: SqsFront, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, transcript("t-0"))
    post(sqs, DEAD, transcript("t-1"))
    run = redrive(sqs, front.url, companion, remaining_s=60.0)
    assert [report(run, name)["stopped"] for name in (UNDELIVERED, DEAD)] == ["out of time"] * 2
    assert front.calls == []
