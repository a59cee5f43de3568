"""The redrive in a process of its own, between moto's SQS and an Invoke endpoint in the companion's place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import parse_transcript
from letter_check import CHECK_LIMIT_S
from letter_destinations import Companion
from local.lambda_service.invocation import InvocationFailed
from local.lambda_service.invocation_record import failure_record
from tests.support.aws.lambda_invoke_endpoint import InvokeAnswer, LambdaInvokeEndpoint
from tests.support.aws.sqs_front import SqsFront
from tests.support.project import PROJECT
from tests.support.runtime.handler_process import HandlerRun, client_of, run_handler

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

DOCUMENT: dict[str, Any] = json.loads((PROJECT / "events" / "transcript.json").read_text(encoding="utf-8"))
UNDELIVERED, DEAD, SOURCE = "undelivered", "transcripts-dead-letters", "transcripts"
FIFO_DEAD, FIFO_SOURCE = "ordered-dead-letters.fifo", "ordered.fifo"
BUCKET, OTHER_BUCKET = "transcripts-large", "transcripts-of-others"
COMPANION_ARN = "arn:aws:lambda:eu-central-1:123456789012:function:companion"
MIB = 1024 * 1024
LEFT_ALONE = {
    "redriven": 0,
    "refused_count": 0,
    "refused": [],
    "failed_count": 0,
    "failed": [],
    "not_deleted_count": 0,
    "not_deleted": [],
    "finished": True,
    "stopped": None,
}


@pytest.fixture
def sqs(moto_url: str) -> Iterator[SQSClient]:
    client: SQSClient = client_of("sqs", moto_url)
    for name in (UNDELIVERED, DEAD, SOURCE):
        client.create_queue(QueueName=name)
    for name in (FIFO_DEAD, FIFO_SOURCE):
        client.create_queue(QueueName=name, Attributes={"FifoQueue": "true"})
    yield client
    for url in client.list_queues().get("QueueUrls", []):
        client.delete_queue(QueueUrl=url)
    client.close()


@pytest.fixture
def s3(moto_url: str) -> Iterator[Any]:
    """The transcript bucket, and another one."""
    client = client_of("s3", moto_url)
    for bucket in (BUCKET, OTHER_BUCKET):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client
    for bucket in (BUCKET, OTHER_BUCKET):
        for stored in client.list_objects_v2(Bucket=bucket).get("Contents", []):
            client.delete_object(Bucket=bucket, Key=stored["Key"])
        client.delete_bucket(Bucket=bucket)
    client.close()


@pytest.fixture
def companion() -> Iterator[LambdaInvokeEndpoint]:
    with LambdaInvokeEndpoint() as endpoint:
        yield endpoint


@pytest.fixture
def front(moto_url: str) -> Iterator[SqsFront]:
    with SqsFront(moto_url) as server:
        yield server


def url_of(sqs: SQSClient, name: str) -> str:
    return sqs.get_queue_url(QueueName=name)["QueueUrl"]


def post(sqs: SQSClient, name: str, *bodies: str) -> None:
    """Leave messages in a queue, as a service or a person would."""
    for body in bodies:
        sqs.send_message(QueueUrl=url_of(sqs, name), MessageBody=body)


def take(sqs: SQSClient, name: str) -> list[dict[str, Any]]:
    """All that can be received from the queue right now; it stays hidden for a while."""
    taken: list[dict[str, Any]] = []
    while messages := sqs.receive_message(
        QueueUrl=url_of(sqs, name),
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["All"],
    ).get("Messages", []):
        taken += [dict(message) for message in messages]
    return taken


def bodies_in(sqs: SQSClient, name: str) -> list[str]:
    return [message["Body"] for message in take(sqs, name)]


def transcript(transcript_id: str) -> str:
    return json.dumps({**DOCUMENT, "id": transcript_id})


def lambda_record(transcript_id: str, arn: str = COMPANION_ARN) -> str:
    """What Lambda leaves of an asynchronous invocation that failed for good."""
    failure = InvocationFailed("error", "PublishError", "it failed")
    return failure_record(arn, transcript(transcript_id).encode(), "request-1", failure, 3)


def redrive(
    sqs: SQSClient,
    endpoint: str,
    companion: LambdaInvokeEndpoint,
    event: Any = None,
    remaining_s: float = 900.0,
    settings: Mapping[str, str] | None = None,
) -> HandlerRun:
    """One run over the queues above, all of them unless the event says otherwise."""
    undelivered = url_of(sqs, UNDELIVERED)
    environment = {
        "UNDELIVERED_QUEUE_URL": undelivered,
        "TRANSCRIPT_FUNCTION_NAME": "companion",
        "DEAD_LETTER_QUEUES": json.dumps(
            {
                undelivered.replace(UNDELIVERED, DEAD): undelivered.replace(UNDELIVERED, SOURCE),
                undelivered.replace(UNDELIVERED, FIFO_DEAD): undelivered.replace(UNDELIVERED, FIFO_SOURCE),
            }
        ),
        "TRANSCRIPT_BUCKET": BUCKET,
        "AWS_ENDPOINT_URL_SQS": endpoint,
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ENDPOINT_URL_LAMBDA": companion.url,
        **(settings or {}),
    }
    return run_handler(
        "redrive_transcripts", "redrive_handler", {} if event is None else event, environment, remaining_s
    )


def report(run: HandlerRun, name: str) -> dict[str, Any]:
    assert run.status == 0, run.log
    found: dict[str, Any] = run.returned[name]
    return found


def test_letters_of_both_forms_reach_the_companion_as_the_event_they_hold(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, transcript("bare"), lambda_record("recorded"))
    run = redrive(sqs, moto_url, companion)
    assert report(run, UNDELIVERED) == {**LEFT_ALONE, "redriven": 2}
    assert [event for _, _, event in sorted(companion.invocations, key=lambda call: call[2]["id"])] == [
        {**DOCUMENT, "id": "bare"},
        {**DOCUMENT, "id": "recorded"},
    ]
    assert {(path, kind) for path, kind, _ in companion.invocations} == {
        ("/2015-03-31/functions/companion/invocations", "RequestResponse")
    }
    assert bodies_in(sqs, UNDELIVERED) == []
    assert report(run, DEAD) == LEFT_ALONE


def test_a_letter_that_fails_again_stays_and_is_reported_without_its_content(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    letters = {name: lambda_record(name) for name in ("good", "bad", "throttled")}
    post(sqs, UNDELIVERED, *letters.values())
    companion.answers = {
        "bad": InvokeAnswer("PublishError", "transcript bad was not taken by transcripts (AccessDenied)"),
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
        ("bad", "PublishError: transcript bad was not taken by transcripts (AccessDenied)"),
        ("throttled", "TooManyRequestsException"),
    ]
    assert len(companion.invocations) == 3
    left = {message["MessageId"]: message["Body"] for message in take(sqs, UNDELIVERED)}  # at once, not later
    assert sorted(left.values()) == sorted([letters["bad"], letters["throttled"]])
    assert set(left) == {failure["message_id"] for failure in outcome["failed"]}
    assert "sky" not in run.log + json.dumps(run.returned)
    assert '"transcript_id":"bad"' in run.log


def test_a_letter_that_fails_is_tried_once_in_a_run(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, *(transcript(f"t-{number}") for number in range(23)))
    companion.answers = {f"t-{number}": InvokeAnswer("PublishError", "no") for number in range(12)}
    outcome = report(redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED]}), UNDELIVERED)
    assert (outcome["redriven"], outcome["failed_count"], outcome["finished"]) == (11, 12, True)
    assert len(companion.invocations) == 23
    assert len(take(sqs, UNDELIVERED)) == 12


def test_a_report_lists_the_first_hundred_letters_and_counts_them_all(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, *["no JSON"] * 103)
    run = redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED]})
    outcome = report(run, UNDELIVERED)
    assert (outcome["refused_count"], len(outcome["refused"])) == (103, 100)
    assert sum(record["message"] == "letter refused" for record in run.records) == 103


def test_a_consumers_letters_go_back_to_its_queue_as_they_were(
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
    assert outcome == {**LEFT_ALONE, "redriven": 1}
    [message] = take(sqs, SOURCE)
    assert (message["Body"], message["MessageAttributes"]) == (body, attributes)
    assert take(sqs, DEAD) == []
    assert companion.invocations == []


FORGED = {
    "no JSON": "the sky is no JSON",
    "no object": '["sky"]',
    "not a transcript": '{"id": "t-1", "said": "sky"}',
    "a field of another kind": json.dumps({**DOCUMENT, "outcome": "sky"}),
    "too deep": "[" * 100_000,
}


@pytest.mark.parametrize("queue", [UNDELIVERED, DEAD])
def test_what_is_no_transcript_is_left_where_it_is_and_told_without_its_content(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint, queue: str
) -> None:
    post(sqs, queue, *FORGED.values(), transcript("genuine"))
    run = redrive(sqs, moto_url, companion, {"queues": [queue]})
    outcome = report(run, queue)
    assert (outcome["redriven"], outcome["refused_count"], outcome["failed"]) == (1, len(FORGED), [])
    left = {message["MessageId"]: message["Body"] for message in take(sqs, queue)}  # at once, not later
    assert sorted(left.values()) == sorted(FORGED.values())
    assert set(left) == {refusal["message_id"] for refusal in outcome["refused"]}
    assert "sky" not in run.log + json.dumps(run.returned)
    assert len(companion.invocations) + len(take(sqs, SOURCE)) == 1


@pytest.mark.parametrize(
    "arn",
    [
        COMPANION_ARN.replace("companion", "another"),
        COMPANION_ARN + "-2",
        "companion",
        "",
    ],
)
def test_a_record_of_another_function_is_refused(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint, arn: str
) -> None:
    post(sqs, UNDELIVERED, lambda_record("t-1", arn), json.dumps({"requestPayload": DOCUMENT}))
    outcome = report(redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED]}), UNDELIVERED)
    said = "requestContext.functionArn: should be that of the companion"
    assert [refusal["error"] for refusal in outcome["refused"]] == [said, said]
    assert companion.invocations == []


def test_a_record_of_the_same_name_in_another_account_is_refused_where_the_companion_has_its_arn(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, lambda_record("t-1"), lambda_record("t-2", COMPANION_ARN.replace("123", "999")))
    settings = {"TRANSCRIPT_FUNCTION_NAME": COMPANION_ARN}
    run = redrive(sqs, moto_url, companion, {"queues": [UNDELIVERED]}, settings=settings)
    outcome = report(run, UNDELIVERED)
    assert outcome["redriven"] == 1
    assert [refusal["transcript_id"] for refusal in outcome["refused"]] == ["t-2"]


def test_consumers_are_handed_no_records(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, DEAD, lambda_record("t-1"))
    assert report(redrive(sqs, moto_url, companion), DEAD)["refused_count"] == 1
    assert take(sqs, SOURCE) == []


@pytest.mark.parametrize("queue", [UNDELIVERED, DEAD])
def test_a_pointer_goes_on_only_if_it_names_the_very_transcript_in_the_transcript_bucket(
    sqs: SQSClient, s3: Any, moto_url: str, companion: LambdaInvokeEndpoint, queue: str
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
    post(sqs, queue, *(pointer.to_json().decode() for pointer in pointers))
    outcome = report(redrive(sqs, moto_url, companion, {"queues": [queue]}), queue)
    assert outcome["redriven"] == 1
    assert sorted(refusal["error"].partition(":")[0] for refusal in outcome["refused"]) == [
        "id",
        "pointer.bucket",
        "pointer.sha256",
    ]
    assert [failure["error"] for failure in outcome["failed"]] == ["NoSuchKey"]
    passed_on = [event for _, _, event in companion.invocations] or list(
        map(json.loads, bodies_in(sqs, SOURCE))
    )
    assert passed_on == [json.loads(genuine.to_json())]


def test_only_letters_that_the_queue_has_taken_are_deleted(
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


def test_a_letter_that_was_sent_but_not_deleted_is_reported_as_a_duplicate_to_be(
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


def test_letters_that_are_too_large_together_go_back_in_several_batches(
    sqs: SQSClient, front: SqsFront, companion: LambdaInvokeEndpoint
) -> None:
    attribute = {"name": {"DataType": "String", "StringValue": "x" * 41}}  # 51 bytes, as SQS counts
    fits_twice = transcript("é").ljust(MIB // 2 - 51)  # two of these are 1 MiB to the byte
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


def test_letters_whose_queue_takes_none_stay_and_say_why(
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


def test_a_queue_that_cannot_be_read_is_reported_and_the_others_are_redriven(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, DEAD, transcript("t-0"))
    settings = {"UNDELIVERED_QUEUE_URL": url_of(sqs, UNDELIVERED) + "-gone"}
    run = redrive(sqs, moto_url, companion, settings=settings)
    outcome = report(run, UNDELIVERED + "-gone")
    assert not outcome["finished"]
    assert "NonExistentQueue" in outcome["stopped"]
    assert report(run, DEAD) == {**LEFT_ALONE, "redriven": 1}


def test_a_fifo_letter_keeps_its_group_and_its_place_and_is_not_swallowed_as_a_duplicate(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    bodies = [transcript(f"t-{number}") for number in range(12)]
    for number, body in enumerate(bodies):
        # SQS has seen these ids a moment ago in both queues.
        for name, group in ((FIFO_SOURCE, "first sent"), (FIFO_DEAD, "web")):
            sqs.send_message(
                QueueUrl=url_of(sqs, name),
                MessageBody=body,
                MessageGroupId=group,
                MessageDeduplicationId=f"t-{number}",
            )
    assert report(redrive(sqs, moto_url, companion, {"queues": [FIFO_DEAD]}), FIFO_DEAD) == {
        **LEFT_ALONE,
        "redriven": 12,
    }
    assert take(sqs, FIFO_DEAD) == []
    assert [body for group, body in consumed(sqs, FIFO_SOURCE) if group == "web"] == bodies


def consumed(sqs: SQSClient, name: str) -> list[tuple[str, str]]:
    """Group and body of each message, deleted as it is read: until then its group's next are held back."""
    found: list[tuple[str, str]] = []
    url = url_of(sqs, name)
    while messages := sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, MessageSystemAttributeNames=["All"]
    ).get("Messages", []):
        for message in messages:
            found.append((message["Attributes"]["MessageGroupId"], message["Body"]))
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_a_run_stops_in_time_and_leaves_the_rest_to_be_received_at_once(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    names = [f"t-{number}" for number in range(4)]
    post(sqs, UNDELIVERED, *map(transcript, names))
    companion.answers = dict.fromkeys(names, InvokeAnswer(delay_s=1.5))
    run = redrive(
        sqs, moto_url, companion, {"queues": [UNDELIVERED]}, Companion.limit_s + CHECK_LIMIT_S + 3.0
    )
    outcome = report(run, UNDELIVERED)
    assert 1 <= outcome["redriven"] < 4
    assert (outcome["finished"], outcome["stopped"], outcome["failed"]) == (False, "out of time", [])
    assert len(companion.invocations) == outcome["redriven"]
    assert len(take(sqs, UNDELIVERED)) == 4 - outcome["redriven"]


def test_without_time_nothing_is_received(
    sqs: SQSClient, front: SqsFront, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, transcript("t-0"))
    post(sqs, DEAD, transcript("t-1"))
    run = redrive(sqs, front.url, companion, remaining_s=60.0)
    assert [report(run, name)["stopped"] for name in (UNDELIVERED, DEAD)] == ["out of time"] * 2
    assert front.calls == []


def test_only_the_named_queues_are_redriven(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    post(sqs, UNDELIVERED, transcript("t-0"))
    post(sqs, DEAD, transcript("t-1"))
    run = redrive(sqs, moto_url, companion, {"queues": [DEAD]})
    assert run.returned == {DEAD: {**LEFT_ALONE, "redriven": 1}}
    assert bodies_in(sqs, UNDELIVERED) == [transcript("t-0")]


@pytest.mark.parametrize(
    "event",
    [{"queues": ["transcripts-dead-leters"]}, {"queue": [DEAD]}, {"queues": DEAD}, {"queues": [[DEAD]]}],
)
def test_a_request_for_what_there_is_not_names_what_there_is_and_moves_nothing(
    sqs: SQSClient, front: SqsFront, companion: LambdaInvokeEndpoint, event: Any
) -> None:
    post(sqs, DEAD, transcript("t-0"))
    run = redrive(sqs, front.url, companion, event)
    assert run.status == 1
    assert "RedriveRequestError" in run.last_line
    assert f"{UNDELIVERED}, {DEAD}, {FIFO_DEAD}" in run.last_line
    assert front.calls == []


def test_a_wrong_setting_fails_at_start_naming_the_variable(
    sqs: SQSClient, moto_url: str, companion: LambdaInvokeEndpoint
) -> None:
    run = redrive(sqs, moto_url, companion, settings={"TRANSCRIPT_FUNCTION_NAME": ""})
    assert run.status == 1
    assert "SettingsError: TRANSCRIPT_FUNCTION_NAME" in run.last_line
