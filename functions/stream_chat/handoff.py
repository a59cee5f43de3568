"""Hand a finished transcript to the companion, when the caller already has his whole answer."""

from __future__ import annotations

import importlib
import logging
import threading
import time
from typing import Any

from chat_stream.transcript import Transcript

CONNECT_TIMEOUT_S = 2
READ_TIMEOUT_S = 5

logger = logging.getLogger(__name__)


class Handoff:
    """Invokes the companion asynchronously. Without one it does nothing, and says nothing.

    boto3 takes a third of a second to import. That is never done before the caller's first byte: `prepare`
    does it on a thread of its own while the upstream writes on, `send` waits for it.
    """

    def __init__(self, function_name: str) -> None:
        self._function_name = function_name
        self._client: Any = None
        self._preparing: threading.Thread | None = None

    def prepare(self) -> None:
        """Begin to load the client, once for each environment."""
        if self._function_name and self._client is None and self._preparing is None:
            self._preparing = threading.Thread(target=self._load, name="load-boto3", daemon=True)
            self._preparing.start()

    def send(self, transcript: Transcript) -> None:
        """Invoke the companion with the transcript; if that fails, put it into the log, whole."""
        if not self._function_name:
            return
        started_at = time.monotonic()
        try:
            self.prepare()
            if self._preparing is not None:
                self._preparing.join()
                self._preparing = None
            if self._client is None:
                self._load()  # the thread failed: fail here, where it is reported
            answer = self._client.invoke(
                FunctionName=self._function_name, InvocationType="Event", Payload=transcript.to_json()
            )
            answer["Payload"].close()
        except Exception:
            # The last place to go. Nothing that was answered may be lost, whatever the SDK raised.
            logger.exception(
                "transcript %s could not be handed off",
                transcript.id,
                extra={"undelivered_transcript": transcript.document},
            )
        else:
            took_ms = round((time.monotonic() - started_at) * 1000)
            logger.debug("transcript %s handed off in %d ms", transcript.id, took_ms)

    def _load(self) -> None:
        boto3 = importlib.import_module("boto3")
        config = importlib.import_module("botocore.config").Config(
            connect_timeout=CONNECT_TIMEOUT_S,
            read_timeout=READ_TIMEOUT_S,
            retries={"mode": "standard", "total_max_attempts": 3},
        )
        self._client = boto3.client("lambda", config=config)
