"""The delivery of transcripts in the stack: hand-off, companion, bucket, queues, dead letters, redrive."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chat_stream.events import ChatEvent, ChoiceFinished, TextDelta
from chat_stream.transcripts.transcript import Transcript
from handoff.handoff import Handoff
from settings import Settings
from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.runtime.local_stack import LocalStack
from tests.support.transcripts.transcript_strategies import built
from transcript_message import MAX_MESSAGE_BYTES, TranscriptMessage

# Emoji, lone surrogates, control characters, line separators, and characters that JSON must escape.
HARD = '👩‍👩‍👧 \ud83d \udc4b \x00\x07\x1b\x7f \u2028\u2029\ufffe\uffff "\\/ \r\n\t é'
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def aws(stack: LocalStack) -> Iterator[None]:
    """Let boto3 in this process find the stack, as it does in the functions."""
    variables = {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_ENDPOINT_URL": stack.endpoint,
        "AWS_ENDPOINT_URL_LAMBDA": stack.invoke_endpoint,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def audit(stack: LocalStack) -> Iterator[TranscriptQueue]:
    with TranscriptQueue(stack.endpoint, stack.queue_url("transcripts-audit")) as queue:
        yield queue


def transcript(transcript_id: str, padding: str = "") -> Transcript:
    request = {"model": "m", "messages": [HARD], "parameters": {}}
    events: list[ChatEvent] = [TextDelta(0, HARD), TextDelta(0, padding), ChoiceFinished(0, "stop")]
    return built(events, id=transcript_id, request=request)


def transcript_of(size_bytes: int, transcript_id: str) -> Transcript:
    """A transcript of exactly this encoded size, half of it emoji."""
    room = size_bytes - len(transcript(transcript_id).to_json())
    emoji = "😀" * (room // 2 // len("\\ud83d\\ude00"))
    padding = emoji + "a" * (room - len(emoji) * len("\\ud83d\\ude00"))
    made = transcript(transcript_id, padding)
    assert len(made.to_json()) == size_bytes
    return made


def largest_message(transcript_id: str) -> int:
    """The size of the largest transcript that SQS accepts as a message, with its attributes."""
    message = TranscriptMessage.of(transcript(transcript_id))
    return MAX_MESSAGE_BYTES - message.size_bytes + len(message.body)


SIZES = ["1000", "1_000_000", "1_000_001", "largest", "largest + 1", "MIB", "20_000_000"]


@pytest.mark.parametrize("size", SIZES)
def test_a_transcript_of_any_size_and_content_reaches_every_queue_unchanged(
    aws: None, transcripts: TranscriptQueue, audit: TranscriptQueue, stack: LocalStack, size: str
) -> None:
    transcript_id = f"of {size}"
    largest = largest_message(transcript_id)
    size_bytes = {"largest": largest, "largest + 1": largest + 1, "MIB": MIB}.get(size) or int(size)
    sent = transcript_of(size_bytes, transcript_id)
    settings = Settings(transcript_function_name="publish-transcript", transcript_bucket="transcripts")
    Handoff(settings).send(sent, 60.0)
    for queue in (transcripts, audit):
        assert queue.get(transcript_id) == sent.document
        assert (len(queue.message(transcript_id)["Body"]) < 1000) is (size_bytes > largest)
