"""boto3 for all functions: calls with a time limit, standard retries, errors as one code."""

from __future__ import annotations

import io
from typing import Any, TypedDict, Unpack

from timed_calls import TimedCalls


class CallLimits(TypedDict):
    """The limits of one call: the timeouts of each attempt, and how many attempts there are."""

    connect_timeout_s: float
    read_timeout_s: float
    attempts: int


def aws_client(service: str, connections: int = 4, **limits: Unpack[CallLimits]) -> Any:
    """A boto3 client whose calls each end within `longest_call_s`: see TimedClient."""
    client = boto_client(service, connections, **limits)
    return TimedClient(client, longest_call_s(**limits), TimedCalls(service, connections))


def boto_client(service: str, connections: int = 4, **limits: Unpack[CallLimits]) -> Any:
    """A plain boto3 client that makes up to `attempts` attempts in botocore's standard retry mode.

    Its timeouts limit each read and write; use TimedCalls to limit a call as a whole.
    boto3 is imported here, because the import takes a third of a second and must not delay a first byte.
    """
    import boto3
    from botocore.config import Config

    config = Config(
        connect_timeout=limits["connect_timeout_s"],
        read_timeout=limits["read_timeout_s"],
        retries={"mode": "standard", "total_max_attempts": limits["attempts"]},
        max_pool_connections=connections,
    )
    make: Any = boto3.client  # the stubs know only literal names of services
    client = make(service, config=config)
    client.meta.events.register("after-call", _refuse_interim_answer)
    return client


def _refuse_interim_answer(http_response: Any, **_: Any) -> None:
    """Raise HTTPClientError for a 1xx response such as `103 Early Hints`, which botocore takes for success.

    RFC 9110, section 15.2: it is sent "prior to completing the requested action".
    """
    if http_response.status_code < 200:
        from botocore.exceptions import HTTPClientError

        raise HTTPClientError(error="an interim response in place of the final one")


class TimedClient:
    """A boto3 client with a time limit for each whole call, from the DNS lookup to the last byte.

    A call raises TimeoutError when it does not end in time, and whatever botocore raises. The body of its
    response has already been read.
    """

    def __init__(self, client: Any, limit_s: float, calls: TimedCalls) -> None:
        self._client = client
        self._limit_s = limit_s
        self._calls = calls

    def within(self, limit_s: float) -> TimedClient:
        """The same client with this limit if it is shorter than the client's own."""
        return TimedClient(self._client, min(limit_s, self._limit_s), self._calls)

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        if name not in self._client.meta.method_to_api_mapping:
            return attribute

        def call(**request: Any) -> Any:
            return self._calls.in_time(self._limit_s, lambda: with_whole_body(attribute(**request)))

        return call


def with_whole_body(answer: dict[str, Any]) -> dict[str, Any]:
    """The response of a call with its body, if it has one, read to the end."""
    from botocore.response import StreamingBody

    return {
        name: io.BytesIO(value.read()) if isinstance(value, StreamingBody) else value
        for name, value in answer.items()
    }


def longest_call_s(connect_timeout_s: float, read_timeout_s: float, attempts: int) -> float:
    """How long a call lasts if every attempt hangs, with botocore's waits of up to 1, 2, 4 … s between."""
    return attempts * (connect_timeout_s + read_timeout_s) + 2.0 ** (attempts - 1) - 1


def error_code(error: Exception) -> str:
    """AWS's error code for a failed call, or the name of the exception if there is none.

    It is never the error's message, which may quote what was sent.
    """
    response = getattr(error, "response", None)  # as a ClientError has; botocore is not imported for this
    details = response.get("Error") if isinstance(response, dict) else None
    code = details.get("Code") if isinstance(details, dict) else None
    return code if isinstance(code, str) and code else type(error).__name__
