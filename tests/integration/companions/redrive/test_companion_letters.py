"""Undelivered transcripts go to the companion."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support.aws.lambda_invoke_endpoint import InvokeAnswer, LambdaInvokeEndpoint
from tests.support.transcripts.redrive_run import (
    DEAD,
    DOCUMENT,
    NOTHING_DONE,
    UNDELIVERED,
    bodies_in,
    lambda_record,
    post,
    redrive,
    report,
    take,
    transcript,
)

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient


def test_bare_events_and_records_reach_the_companion_as_events(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, transcript("bare"), lambda_record("recorded"))
    run = redrive(sqs, moto_url, companion)
    assert report(run, UNDELIVERED) == {**NOTHING_DONE, "redriven": 2}
    assert [event for _, _, event in sorted(companion.invocations, key=lambda call: call[2]["id"])] == [
        {**DOCUMENT, "id": "bare"},
        {**DOCUMENT, "id": "recorded"},
    ]
    assert {(path, kind) for path, kind, _ in companion.invocations} == {
        ("/2015-03-31/functions/companion/invocations", "RequestResponse")
    }
    assert bodies_in(sqs, UNDELIVERED) == []
    assert report(run, DEAD) == NOTHING_DONE


def test_a_letter_that_fails_again_stays_in_its_queue_and_is_reported_without_its_content(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    letters = {name: lambda_record(name) for name in ("good", "bad", "throttled")}
    post(sqs, UNDELIVERED, *letters.values())
    companion.answers = {
        "bad": InvokeAnswer("PublishError", "transcript bad was not accepted by transcripts (AccessDenied)"),
        "throttled": InvokeAnswer("TooManyRequestsException", status=429),
    }
    run = redrive(
        sqs,
        moto_url,
        companion,
        {"queues": [UNDELIVERED]},
        settings={"LOG_LEVEL": "DEBUG", "POWERTOOLS_DEBUG": "true"},
    )
    outcome = report(run, UNDELIVERED)
    assert (outcome["redriven"], outcome["failed_count"], outcome["finished"]) == (1, 2, True)
    assert sorted((failure["transcript_id"] or "", failure["error"]) for failure in outcome["failed"]) == [
        ("bad", "PublishError: transcript bad was not accepted by transcripts (AccessDenied)"),
        ("throttled", "TooManyRequestsException"),
    ]
    assert len(companion.invocations) == 3
    left = {message["MessageId"]: message["Body"] for message in take(sqs, UNDELIVERED)}  # visible at once
    assert sorted(left.values()) == sorted([letters["bad"], letters["throttled"]])
    assert set(left) == {failure["message_id"] for failure in outcome["failed"]}
    assert "sky" not in run.log + json.dumps(run.returned)
    assert '"transcript_id":"bad"' in run.log


def test_a_letter_that_fails_is_tried_only_once_in_a_run(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, *(transcript(f"t-{number}") for number in range(23)))
    companion.answers = {f"t-{number}": InvokeAnswer("PublishError", "no") for number in range(12)}
    outcome = report(redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED]}), UNDELIVERED)
    assert (outcome["redriven"], outcome["failed_count"], outcome["finished"]) == (11, 12, True)
    assert len(companion.invocations) == 23
    assert len(take(sqs, UNDELIVERED)) == 12
