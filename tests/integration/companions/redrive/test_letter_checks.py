"""Only transcripts and valid pointers to them are redriven; everything else stays in its queue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import parse_transcript
from tests.support.aws.lambda_invoke_endpoint import LambdaInvokeEndpoint
from tests.support.transcripts.redrive_run import (
    BUCKET,
    COMPANION_ARN,
    DEAD,
    DOCUMENT,
    OTHER_BUCKET,
    SOURCE,
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


FORGED = {
    "no JSON": "the sky is no JSON",
    "no object": '["sky"]',
    "not a transcript": '{"id": "t-1", "said": "sky"}',
    "a field of another kind": json.dumps({**DOCUMENT, "outcome": "sky"}),
    "too deep": "[" * 100_000,
}


def test_a_letter_that_is_not_a_transcript_stays_and_is_reported_without_its_content(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    for queue in (UNDELIVERED, DEAD):
        post(sqs, queue, *FORGED.values(), transcript("genuine"))
    run = redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED, DEAD]})
    for queue in (UNDELIVERED, DEAD):
        outcome = report(run, queue)
        assert (outcome["redriven"], outcome["refused_count"], outcome["failed"]) == (1, len(FORGED), [])
        left = {message["MessageId"]: message["Body"] for message in take(sqs, queue)}  # visible at once
        assert sorted(left.values()) == sorted(FORGED.values())
        assert set(left) == {refusal["message_id"] for refusal in outcome["refused"]}
    assert "sky" not in run.log + json.dumps(run.returned)
    assert (len(companion.invocations), len(take(sqs, SOURCE))) == (1, 1)


def test_a_record_of_another_function_is_refused(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    others = (COMPANION_ARN.replace("companion", "another"), COMPANION_ARN + "-2", "companion", "")
    letters = [*(lambda_record("t-1", arn) for arn in others), json.dumps({"requestPayload": DOCUMENT})]
    post(sqs, UNDELIVERED, *letters)
    outcome = report(redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED]}), UNDELIVERED)
    expected = "requestContext.functionArn: should be that of the companion"
    assert [refusal["error"] for refusal in outcome["refused"]] == [expected] * len(letters)
    assert companion.invocations == []


def test_if_the_companion_is_given_by_arn_a_record_of_another_account_is_refused(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, lambda_record("t-1"), lambda_record("t-2", COMPANION_ARN.replace("123", "999")))
    settings = {"TRANSCRIPT_FUNCTION_NAME": COMPANION_ARN}
    run = redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED]}, settings=settings)
    outcome = report(run, UNDELIVERED)
    assert outcome["redriven"] == 1
    assert [refusal["transcript_id"] for refusal in outcome["refused"]] == ["t-2"]


def test_a_record_is_not_sent_to_a_consumers_queue(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, DEAD, lambda_record("t-1"))
    assert report(redrive(sqs, moto_url, companion), DEAD)["refused_count"] == 1
    assert take(sqs, SOURCE) == []


def test_a_pointer_is_redriven_only_if_it_matches_a_transcript_in_the_transcript_bucket(
    sqs: SQSClient, s3: Any, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    body = transcript("t-1").encode()
    genuine = TranscriptPointer.to(parse_transcript(json.loads(body)), body, BUCKET)
    elsewhere = genuine._replace(bucket=OTHER_BUCKET)
    for pointer in (genuine, elsewhere):
        s3.put_object(Bucket=pointer.bucket, Key=pointer.key, Body=body)
    other_bytes = genuine._replace(key="forged.json")
    s3.put_object(Bucket=BUCKET, Key="forged.json", Body=body.replace(b"blue", b"pink"))
    gone = genuine._replace(key="gone.json")
    pointers = [genuine, elsewhere, other_bytes, genuine._replace(id="t-2"), gone]
    for queue in (UNDELIVERED, DEAD):
        post(sqs, queue, *(pointer.to_json().decode() for pointer in pointers))
    run = redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED, DEAD]})
    for queue in (UNDELIVERED, DEAD):
        outcome = report(run, queue)
        assert outcome["redriven"] == 1
        refused = sorted(refusal["error"].partition(":")[0] for refusal in outcome["refused"])
        assert refused == ["id", "pointer.bucket", "pointer.sha256"]
        assert [failure["error"] for failure in outcome["failed"]] == ["NoSuchKey"]
    passed_on = [event for _, _, event in companion.invocations] + [*map(json.loads, bodies_in(sqs, SOURCE))]
    assert passed_on == [json.loads(genuine.to_json())] * 2
