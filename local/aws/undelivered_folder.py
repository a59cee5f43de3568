"""Transcripts that were not delivered when the stack ended: files, which its next run delivers first."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from chat_stream.transcripts.pointer import object_name
from chat_stream.transcripts.reader import Fetch, transcript_in
from chat_stream.transcripts.transcript import InvalidTranscript
from local.aws.services import AwsServicesFailed


class UndeliveredFolder:
    """Keeps each transcript in `folder`, by its id; `fetch` gets what a pointer points to."""

    def __init__(self, folder: Path, fetch: Fetch, print_line: Callable[[str], None]) -> None:
        self._folder = folder
        self._fetch = fetch
        self._print_line = print_line

    def payloads(self) -> Iterator[tuple[Path, bytes]]:
        """What earlier runs have left: each file with the companion's event that it holds."""
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
        """Write the transcript whole, and say where; the terminal has it where no file can.

        Args:
            payload: the companion's event: a transcript, or a pointer to one in a bucket that ends with the
                stack. What is neither is kept as it is.
            request_id: the file's name for what is no transcript.
        """
        name, content = request_id, payload
        try:
            transcript = transcript_in(json.loads(payload), self._fetch)
            content = transcript.to_json()
            name = object_name(transcript.id)
        except (ValueError, RecursionError, InvalidTranscript, AwsServicesFailed) as error:
            self._print_line(f"[undelivered] {request_id} is kept as it came: {error}")
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
