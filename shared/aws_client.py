"""boto3, as every function here uses it: with limits of time, standard retries, and errors told in a word."""

from __future__ import annotations

from typing import Any


def aws_client(
    service: str, *, connect_timeout_s: float, read_timeout_s: float, attempts: int, connections: int = 10
) -> Any:
    """A client each of whose calls makes at most so many attempts, in botocore's standard retry mode.

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
    return make(service, config=config)


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
