"""boto3, as every function here uses it: calls that end in time, standard retries, errors told in a word."""

from __future__ import annotations

import io
from typing import Any

from timed_calls import TimedCalls


def aws_client(
    service: str, *, connect_timeout_s: float, read_timeout_s: float, attempts: int, connections: int = 4
) -> Any:
    """A boto3 client, each of whose calls is over within `longest_call_s`: see TimedClient."""
    client = boto_client(
        service,
        connect_timeout_s=connect_timeout_s,
        read_timeout_s=read_timeout_s,
        attempts=attempts,
        connections=connections,
    )
    limit_s = longest_call_s(connect_timeout_s, read_timeout_s, attempts)
    return TimedClient(client, limit_s, TimedCalls(service, connections))


def boto_client(
    service: str, *, connect_timeout_s: float, read_timeout_s: float, attempts: int, connections: int = 4
) -> Any:
    """A client of boto3's own, with so many attempts in botocore's standard retry mode.

    Its timeouts are those of each read and write: for a caller that limits the whole by TimedCalls.
    boto3 is imported here: that takes a third of a second, for which no first byte must wait.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=connect_timeout_s,
        read_timeout=read_timeout_s,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=connections,
    )
    make: Any = boto3.client  # whose stubs know each service by its own name only
    client = make(service, config=config)
    client.meta.events.register("after-call", _refuse_interim_answer)
    return client


def _refuse_interim_answer(http_response: Any, **_: Any) -> None:
    """Raise HTTPClientError for an answer with 1xx, such as `103 Early Hints`: botocore takes it for success.

    RFC 9110, 15.2: it is sent "prior to completing the requested action".
    """
    if http_response.status_code < 200:
        from botocore.exceptions import HTTPClientError

        raise HTTPClientError(error="an interim answer in place of the final one")


class TimedClient:
    """A boto3 client whose calls have a limit for the whole, from the look-up of the name to the last byte.

    A call raises TimeoutError when it is not over in time, and whatever botocore raises. The body of its
    answer has been read already.
    """

    def __init__(self, client: Any, limit_s: float, calls: TimedCalls) -> None:
        self._client = client
        self._limit_s = limit_s
        self._calls = calls

    def within(self, limit_s: float) -> TimedClient:
        """The same client with another limit, where that is nearer."""
        return TimedClient(self._client, min(limit_s, self._limit_s), self._calls)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if name not in self._client.meta.method_to_api_mapping:
            return attribute

        def call(**request: Any) -> Any:
            return self._calls.in_time(self._limit_s, lambda: with_whole_body(attribute(**request)))

        return call


def with_whole_body(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer of a call with its body, if it has one, read to the end."""
    from botocore.response import StreamingBody

    return {
        name: io.BytesIO(value.read()) if isinstance(value, StreamingBody) else value
        for name, value in answer.items()
    }


def longest_call_s(connect_timeout_s: float, read_timeout_s: float, attempts: int) -> float:
    """How long a call takes whose attempts all hang, with botocore's waits of up to 1, 2, 4 … s between."""
    return attempts * (connect_timeout_s + read_timeout_s) + 2.0 ** (attempts - 1) - 1


def error_code(error: Exception) -> str:
    """What went wrong with a call, in AWS's word for it or the error's own name.

    Never in the error's text, which may quote what was sent.
    """
    response = getattr(error, "response", None)  # botocore's ClientError, which is not imported for this
    details = response.get("Error") if isinstance(response, dict) else None
    code = details.get("Code") if isinstance(details, dict) else None
    return code if isinstance(code, str) and code else type(error).__name__
