"""Hand a finished transcript to the companion, when the caller already has his whole answer."""

from __future__ import annotations

import importlib
import logging
import threading
from typing import Any

from chat_stream.transcript import Transcript

# Accepting an asynchronous invoke takes milliseconds. Three attempts that hang are over within UNHURRIED_S.
# With less time left than that, after a deadline, there is one, and still time to log what could not be sent.
CONNECT_TIMEOUT_S = 1
READ_TIMEOUT_S = 1
ATTEMPTS = 3
UNHURRIED_S = 10.0

logger = logging.getLogger(__name__)


class Handoff:
    """Invokes the companion asynchronously. Without one it does nothing, and says nothing.

    boto3 takes a third of a second to import. That is not done before the caller's first byte: `prepare`
    does it on a thread of its own while the upstream writes on, `send` waits for it.
    """

    def __init__(self, function_name: str) -> None:
        self._function_name = function_name
        self._client: Any = None
        self._preparing: threading.Thread | None = None

    def prepare(self) -> None:
        """Begin to load the client, once for each environment."""
        if self._function_name and self._client is None and self._preparing is None:
            self._preparing = threading.Thread(target=self._load_early, name="load-boto3", daemon=True)
            self._preparing.start()

    def send(self, transcript: Transcript, remaining_s: float) -> None:
        """Invoke the companion with the transcript; if that fails, put it into the log, whole.

        Args:
            remaining_s: how long this invocation may still last.
        """
        if not self._function_name:
            return
        if self._preparing is not None:
            self._preparing.join()
            self._preparing = None
        payload = transcript.to_json()
        try:
            answer = self._client_for(remaining_s).invoke(
                FunctionName=self._function_name, InvocationType="Event", Payload=payload
            )
            answer["Payload"].close()
        except Exception as error:
            # The last place to go: nothing that was answered may be lost, whatever the SDK raised. In the
            # message, for the text log format shows nothing else.
            logger.exception(
                "the companion could not be invoked (%s); undelivered_transcript: %s",
                type(error).__name__,
                payload.decode("ascii"),
            )

    def _client_for(self, remaining_s: float) -> Any:
        if remaining_s < UNHURRIED_S:
            return _lambda_client(attempts=1)
        if self._client is None:
            self._client = _lambda_client(ATTEMPTS)
        return self._client

    def _load_early(self) -> None:
        try:
            self._client = _lambda_client(ATTEMPTS)
        except Exception as error:  # noqa: BLE001 - whatever it is, `send` meets it again and reports it
            logger.debug("the Lambda client could not be loaded early: %s", type(error).__name__)


def _lambda_client(attempts: int) -> Any:
    boto3 = importlib.import_module("boto3")
    config = importlib.import_module("botocore.config").Config(
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=READ_TIMEOUT_S,
        retries={"mode": "standard", "total_max_attempts": attempts},
    )
    return boto3.client("lambda", config=config)
