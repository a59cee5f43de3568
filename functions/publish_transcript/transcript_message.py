"""A transcript as one SQS message: its body, its attributes, its size."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mypy_boto3_sqs.type_defs import MessageAttributeValueTypeDef

    from chat_stream.transcript import Transcript

MAX_MESSAGE_BYTES = 1024 * 1024  # SQS's limit for one message: body and attributes together
MAX_ATTRIBUTE_CHARACTERS = 256  # attributes are there to filter by; the body holds the whole value

# "A message can include only XML, JSON, and unformatted text. The following Unicode characters are allowed:
# #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF" (SQS API reference, SendMessage).
_REFUSED_BY_SQS = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class TranscriptTooLargeError(ValueError):
    """The transcript does not fit into one SQS message. Tells its id and size, nothing of its content."""


@dataclass(frozen=True, slots=True)
class TranscriptMessage:
    """What every queue is sent.

    Attributes:
        body: the transcript as compact, ASCII-escaped JSON, exactly as it was handed off.
        attributes: outcome, model, caller and schema_version, each only where the transcript has it.
    """

    body: str
    attributes: dict[str, MessageAttributeValueTypeDef]

    @classmethod
    def of(cls, transcript: Transcript) -> TranscriptMessage:
        """The message of a transcript.

        Raises:
            TranscriptTooLargeError: over `MAX_MESSAGE_BYTES`, counted as SQS does.
        """
        document = transcript.document
        message = cls(
            transcript.to_json().decode("ascii"),
            {
                **_text_attribute("outcome", transcript.outcome),
                **_text_attribute("model", document["request"]["model"]),
                **_text_attribute("caller", document["caller"]),
                "schema_version": {"DataType": "Number", "StringValue": str(document["schema_version"])},
            },
        )
        if message.size_bytes > MAX_MESSAGE_BYTES:
            raise TranscriptTooLargeError(
                f"transcript {transcript.id} makes a message of {message.size_bytes} bytes; "
                f"SQS takes {MAX_MESSAGE_BYTES}"
            )
        return message

    @property
    def size_bytes(self) -> int:
        """The size that SQS counts: the body, and of each attribute its name, data type and value."""
        return len(self.body) + sum(
            len(name) + len(value["DataType"]) + len(value["StringValue"].encode())
            for name, value in self.attributes.items()
        )


def _text_attribute(name: str, value: str | None) -> dict[str, MessageAttributeValueTypeDef]:
    # The model is what the caller wrote: whatever it holds, it must not keep the transcript from its queue.
    if not value:
        return {}
    text = _REFUSED_BY_SQS.sub("\ufffd", value[:MAX_ATTRIBUTE_CHARACTERS])
    return {name: {"DataType": "String", "StringValue": text}}
