"""A transcript as one SQS message: body, attributes, size and FIFO ids."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

    from chat_stream.transcripts.pointer import TranscriptPointer
    from chat_stream.transcripts.transcript import Transcript

MAX_MESSAGE_BYTES = 1024 * 1024  # SQS's limit for one message: body and attributes together
MAX_ATTRIBUTE_CHARACTERS = 256  # enough to filter by; the body has the whole value

# "A message can include only XML, JSON, and unformatted text. The following Unicode characters are allowed:
# #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF" (SQS API reference, SendMessage).
_REFUSED_BY_SQS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

# "The maximum length of MessageGroupId is 128 characters. MessageGroupId can contain alphanumeric characters
# (a-z, A-Z, 0-9) and punctuation" (SQS API reference, SendMessage; likewise for MessageDeduplicationId).
_FIFO_ID = re.compile("[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class TranscriptMessage:
    """The message that every queue is sent."""

    body: str  # compact, ASCII-escaped JSON: the transcript exactly as it was handed off, or a pointer to it
    # schema_version; also outcome, model and caller, each if the transcript has it.
    attributes: dict[str, MessageAttributeValueTypeDef]
    group_id: str  # for FIFO queues: the transcripts of one caller are received in the order of sending
    deduplication_id: str  # for FIFO queues: SQS drops a message with the same id within five minutes

    @classmethod
    def of(cls, transcript: Transcript, pointer: TranscriptPointer | None = None) -> TranscriptMessage:
        """Create the message for a transcript, or for the pointer that replaces it."""
        document = transcript.document
        body = transcript.to_json() if pointer is None else pointer.to_json()
        return cls(
            body=body.decode("ascii"),
            attributes={
                **_text_attribute("outcome", transcript.outcome),
                **_text_attribute("model", document["request"]["model"]),
                **_text_attribute("caller", document["caller"]),
                "schema_version": {"DataType": "Number", "StringValue": str(document["schema_version"])},
            },
            group_id=_fifo_id(document["caller"] or "-"),
            deduplication_id=_fifo_id(transcript.id),
        )

    @property
    def fits(self) -> bool:
        """Whether the message is within SQS's size limit."""
        return self.size_bytes <= MAX_MESSAGE_BYTES

    @property
    def size_bytes(self) -> int:
        """The size as SQS counts it: the body and each attribute's name, data type and value."""
        return len(self.body) + sum(
            len(name) + len(value["DataType"]) + len(value["StringValue"].encode())
            for name, value in self.attributes.items()
        )


def _text_attribute(name: str, value: str | None) -> dict[str, MessageAttributeValueTypeDef]:
    # The model is the caller's text, which must not make SQS refuse the transcript.
    if not value:
        return {}
    text = _REFUSED_BY_SQS.sub("\ufffd", value[:MAX_ATTRIBUTE_CHARACTERS])
    return {name: {"DataType": "String", "StringValue": text}}


def _fifo_id(value: str) -> str:
    """Return the value if SQS accepts it as an id, otherwise its SHA-256 in hex."""
    if _FIFO_ID.fullmatch(value):
        return value
    return hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()
