"""Transcripts that were not delivered before the stack ended: files that its next run delivers first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from chat_stream.transcripts.pointer import object_name
from chat_stream.transcripts.reader import Fetch, transcript_in
from chat_stream.transcripts.schema import InvalidTranscriptError
from local.aws.services import AwsServicesError


class UndeliveredFolder:
    """Keeps each transcript as a file in `folder`; `fetch` gets the object of a pointer."""

    def __init__(self, folder: Path, fetch: Fetch, print_line: Callable[[str], None]) -> None:
        self._folder = folder
        self._fetch = fetch
        self._print_line = print_line

    def payloads(self) -> Iterator[tuple[Path, bytes]]:
        """The files of earlier runs, each with the companion's event that it holds."""
        for file in sorted(self._folder.glob("*.json")):
            try:
                payload = file.read_bytes()
                json.loads(payload)
            except (OSError, ValueError, RecursionError) as error:
                self._print_line(f"[undelivered] {file} cannot be delivered and stays: {error}")
            else:
                self._print_line(f"[undelivered] {file} is being delivered")
                yield file, payload

    def keep(self, payload: bytes, request_id: str) -> None:
        """Write the whole transcript to a file and print its path. Without a file, print the transcript.

        The payload is the companion's event: a transcript, or a pointer to one in a bucket, which is lost
        when the stack ends. Anything else is written unchanged, to a file with the name `request_id`.
        """
        name, content = request_id, payload
        try:
            transcript = transcript_in(json.loads(payload), self._fetch)
            content = transcript.to_json()
            name = object_name(transcript.id)
        except (ValueError, RecursionError, InvalidTranscriptError, AwsServicesError) as error:
            self._print_line(f"[undelivered] {request_id} is kept unchanged: {error}")
        path = self._folder / f"{name}.json"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(content)
            unfinished.replace(path)
        except OSError as error:
            lost = content.decode(errors="replace")
            self._print_line(f"[undelivered] {path} cannot be written ({error.strerror}): {lost}")
        else:
            self._print_line(f"[undelivered] {path}: the next run delivers it")
