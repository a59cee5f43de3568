"""A process that requests admissions as the streaming function does; several make a crowd of callers."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from aws_client import CallLimits
from errors import RequestError
from quota import counters, rate_limits
from quota.rate_limits import RateLimits
from request.chat_request import ChatRequest
from settings import Settings

if TYPE_CHECKING:
    import pytest

ADMITTED = "admitted"
PATIENCE_S = 60.0
PATIENT_LIMITS: CallLimits = {
    **counters.LIMITS,
    "connect_timeout_s": PATIENCE_S,
    "read_timeout_s": PATIENCE_S,
}


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the table more time than callers are made to wait: on a busy machine it is slow."""
    monkeypatch.setattr(rate_limits, "LIMIT_S", PATIENCE_S)
    monkeypatch.setattr(counters, "LIMITS", PATIENT_LIMITS)


def chat_request(text: str = "hi", **parameters: Any) -> ChatRequest:
    """A request with this prompt."""
    messages = [{"role": "user", "content": text}]
    recorded = {"model": "m", "messages": messages, "parameters": parameters}
    body = {"model": "m", "messages": messages, **parameters}
    return ChatRequest("/v1/chat/completions", json.dumps(body).encode(), "sse", False, 1, recorded)


class AdmittingProcess:
    """Requests admissions on several threads at once, each with its own connections.

    Args:
        environment: the environment variables of the process, including the endpoint of the table.
        settings: fields of Settings, of all its callers.
        now: the current time for the process.
    """

    def __init__(
        self, environment: Mapping[str, str], settings: Mapping[str, Any], threads: int, now: float
    ) -> None:
        self._arguments = {"settings": settings, "threads": threads, "now": now}
        self._environment = {**environment, "PYTHONPATH": ":".join(sys.path)}

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.quota.admitting_process", json.dumps(self._arguments)],
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._process.communicate()  # closes its standard input, which ends the process

    def begin(self, caller: str, text: str, values: Mapping[str, Any]) -> None:
        """Have each thread request one admission for this caller, whose own settings have these values."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([caller, text, values]) + "\n")
        self._process.stdin.flush()

    def outcomes(self) -> list[str]:
        """The outcomes of the threads: ADMITTED, or the code of the error."""
        assert self._process.stdout is not None
        outcomes: list[str] = json.loads(self._process.stdout.readline())
        return outcomes


def _main(settings: Mapping[str, Any], threads: int, now: float) -> None:
    # The server handles one call at a time on a busy machine. A call that timed out and was retried would
    # count twice and leave room for fewer callers.
    counters.LIMITS = PATIENT_LIMITS
    rate_limits.LIMIT_S = PATIENCE_S
    limits = [RateLimits(Settings(**settings), now=lambda: now) for _ in range(threads)]
    together = threading.Barrier(threads)

    def ask(limit: RateLimits, caller: str, text: str, own: Settings) -> str:
        together.wait()
        try:
            limit.admit(caller, own, chat_request(text))
        except RequestError as error:
            return error.code
        return ADMITTED

    with ThreadPoolExecutor(threads) as pool:
        for line in sys.stdin:
            caller, text, values = json.loads(line)
            own = Settings(**settings, **values)
            asked = [pool.submit(ask, limit, caller, text, own) for limit in limits]
            print(json.dumps([one.result() for one in asked]), flush=True)


if __name__ == "__main__":
    _main(**json.loads(sys.argv[1]))
