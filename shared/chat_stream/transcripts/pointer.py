"""Pointers: sent in place of a transcript that is too large for a message.

They do not use the format of AWS's SQS Extended Client, whose consumers delete the object together with their
message: here one object serves every queue.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from chat_stream.transcripts.schema import InvalidTranscriptError, check_pointer
from chat_stream.transcripts.transcript import SCHEMA_VERSION, Transcript

# https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html#object-key-guidelines-safe-characters
_SAFE_IN_A_KEY = re.compile(r"[A-Za-z0-9_.-]{1,128}")


def object_name(transcript_id: str) -> str:
    """The id itself if it is safe in an S3 key, a file name and a URL; otherwise its SHA-256 in hex."""
    if _SAFE_IN_A_KEY.fullmatch(transcript_id) and transcript_id.strip("."):
        return transcript_id
    return hashlib.sha256(transcript_id.encode("utf-8", "surrogatepass")).hexdigest()


class TranscriptPointer(NamedTuple):
    """The location of a stored transcript, with the size and hash of its bytes."""

    id: str
    bucket: str
    key: str
    size_bytes: int
    sha256: str

    @classmethod
    def to(cls, transcript: Transcript, body: bytes, bucket: str) -> TranscriptPointer:
        """The pointer to a transcript whose bytes, `body`, are stored in `bucket` under the pointer's key.

        The key depends on the bytes: storing the same bytes twice makes one object, and different bytes never
        replace it.
        """
        sha256 = hashlib.sha256(body).hexdigest()
        key = f"{transcript.date}/{object_name(transcript.id)}-{sha256[:16]}.json"
        return cls(transcript.id, bucket, key, len(body), sha256)

    @classmethod
    def in_document(cls, document: Mapping[str, Any]) -> TranscriptPointer:
        """The pointer in a JSON document. Raises InvalidTranscriptError, which names the faulty field."""
        check_pointer(document)
        return cls(document["id"], **document["pointer"])

    def to_json(self) -> bytes:
        """One line of compact, ASCII-escaped JSON that conforms to transcript_pointer.schema.json."""
        place = {"bucket": self.bucket, "key": self.key, "size_bytes": self.size_bytes, "sha256": self.sha256}
        document = {"schema_version": SCHEMA_VERSION, "id": self.id, "pointer": place}
        return json.dumps(document, separators=(",", ":")).encode("ascii")

    def check(self, body: bytes) -> None:
        """Raise InvalidTranscriptError unless `body` has the size and hash that the pointer states."""
        if len(body) != self.size_bytes or hashlib.sha256(body).hexdigest() != self.sha256:
            raise InvalidTranscriptError(
                f"pointer.sha256: the object {self.key} of {len(body)} bytes is not the one that was stored"
            )
