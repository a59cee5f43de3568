"""A consumer's dead letters go back to the queue that it reads."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.support.aws.lambda_invoke_endpoint import LambdaInvokeEndpoint
from tests.support.aws.sqs_front import SqsFront
from tests.support.transcripts.redrive_run import (
    DEAD,
    FIFO_DEAD,
    FIFO_SOURCE,
    NOTHING_DONE,
    SOURCE,
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


MIB = 1024 * 1024


def test_a_consumers_letters_go_back_to_its_queue_unchanged(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    attributes: dict[str, Any] = {
        "outcome": {"DataType": "String", "StringValue": "completed"},
        "schema_version": {"DataType": "Number", "StringValue": "1"},
        "digest": {"DataType": "Binary", "BinaryValue": b"\x00\xff"},
    }
    body = transcript("t-1").replace("Why is", "\U0001f44b Why is") + " "
    sqs.send_message(QueueUrl=url_of(sqs, DEAD), MessageBody=body, MessageAttributes=attributes)
    outcome = report(redrive(sqs, moto_url, companion, {"queues": [DEAD]}), DEAD)
    assert outcome == {**NOTHING_DONE, "redriven": 1}
    [message] = take(sqs, SOURCE)
    assert (message["Body"], message["MessageAttributes"]) == (body, attributes)
    assert take(sqs, DEAD) == []
    assert companion.invocations == []


def test_only_letters_that_the_queue_accepted_are_deleted(
    sqs: SQSClient, front: SqsFront, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, DEAD, *(transcript(f"t-{number}") for number in range(5)))
    front.refuse = lambda operation, entry: (
        "InternalError" if operation == "SendMessageBatch" and '"t-3"' in entry["MessageBody"] else None
    )
    run = redrive(sqs, front.url, companion, {"queues": [DEAD]})
    outcome = report(run, DEAD)
    [failure] = outcome["failed"]
    assert (outcome["redriven"], failure["transcript_id"], failure["error"]) == (4, "t-3", "InternalError")
    assert sorted(bodies_in(sqs, SOURCE)) == [transcript(f"t-{number}") for number in (0, 1, 2, 4)]
    [left] = take(sqs, DEAD)
    assert (left["Body"], left["MessageId"]) == (transcript("t-3"), failure["message_id"])
    batches = [name for name, _ in front.calls if name.endswith("MessageBatch")]
    assert batches == ["SendMessageBatch", "DeleteMessageBatch"]
    assert "sky" not in run.log + json.dumps(run.returned)


def test_a_letter_that_was_sent_but_not_deleted_is_reported_as_such(
    sqs: SQSClient, front: SqsFront, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, DEAD, transcript("t-0"))
    post(sqs, UNDELIVERED, transcript("t-1"))
    front.refuse = lambda operation, entry: "Throttled" if operation == "DeleteMessageBatch" else None
    run = redrive(sqs, front.url, companion, {"queues": [DEAD, UNDELIVERED]})
    for name, transcript_id in ((DEAD, "t-0"), (UNDELIVERED, "t-1")):
        outcome = report(run, name)
        [kept] = outcome["not_deleted"]
        assert (outcome["redriven"], outcome["failed"], outcome["not_deleted_count"]) == (1, [], 1)
        assert (kept["transcript_id"], kept["error"]) == (transcript_id, "Throttled")
        assert bodies_in(sqs, name) == [transcript(transcript_id)]
    assert bodies_in(sqs, SOURCE) == [transcript("t-0")]


def test_letters_that_are_too_large_together_are_sent_in_several_batches(
    sqs: SQSClient, front: SqsFront, companion: LambdaInvokeEndpoint
) -> None:
    attribute = {"name": {"DataType": "String", "StringValue": "x" * 41}}  # 51 bytes as SQS counts them
    fits_twice = transcript("é").ljust(MIB // 2 - 51)  # two of these are exactly 1 MiB
    small = transcript("small")
    for body in (fits_twice, fits_twice, transcript("a").ljust(MIB), fits_twice, fits_twice + " ", small):
        attributes: Any = attribute if '"\\u00e9"' in body else {}
        sqs.send_message(QueueUrl=url_of(sqs, DEAD), MessageBody=body, MessageAttributes=attributes)
    assert report(redrive(sqs, front.url, companion, {"queues": [DEAD]}), DEAD)["redriven"] == 6
    sent = [request["Entries"] for request in front.calls_of("SendMessageBatch")]
    sizes = [
        [len(entry["MessageBody"].encode()) + 51 * bool(entry.get("MessageAttributes")) for entry in entries]
        for entries in sent
    ]
    half = MIB // 2
    assert sizes == [[half, half], [MIB], [half], [half + 1, len(small)]]
    assert len(take(sqs, SOURCE)) == 6
    assert take(sqs, DEAD) == []


def test_letters_whose_queue_is_gone_stay_and_the_report_says_why(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, DEAD, transcript("t-0"), transcript("t-1"))
    post(sqs, UNDELIVERED, transcript("t-2"))
    sqs.delete_queue(QueueUrl=url_of(sqs, SOURCE))
    run = redrive(sqs, moto_url, companion)
    outcome = report(run, DEAD)
    assert (outcome["redriven"], outcome["failed_count"], outcome["finished"]) == (0, 2, True)
    assert {"NonExistentQueue" in failure["error"] for failure in outcome["failed"]} == {True}
    assert len(take(sqs, DEAD)) == 2
    assert report(run, UNDELIVERED)["redriven"] == 1


def test_fifo_letters_keep_group_and_order_and_are_not_dropped_as_duplicates(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    bodies = [transcript(f"t-{number}") for number in range(12)]
    for number, body in enumerate(bodies):
        # Both queues have just seen these ids.
        for name, group in ((FIFO_SOURCE, "first sent"), (FIFO_DEAD, "web")):
            sqs.send_message(
                QueueUrl=url_of(sqs, name),
                MessageBody=body,
                MessageGroupId=group,
                MessageDeduplicationId=f"t-{number}",
            )
    assert report(redrive(sqs, moto_url, companion, {"queues": [FIFO_DEAD]}), FIFO_DEAD) == {
        **NOTHING_DONE,
        "redriven": 12,
    }
    assert take(sqs, FIFO_DEAD) == []
    assert [body for group, body in consumed(sqs, FIFO_SOURCE) if group == "web"] == bodies


def consumed(sqs: SQSClient, name: str) -> list[tuple[str, str]]:
    """Receive and delete each message (until then SQS holds back its group); returns group and body."""
    found: list[tuple[str, str]] = []
    url = url_of(sqs, name)
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    ).get("Messages", []):
        for message in messages:
            found.append((message["Attributes"]["MessageGroupId"], message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found
