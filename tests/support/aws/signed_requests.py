"""HTTP requests signed by botocore, for URLs that verify AWS signatures."""

from __future__ import annotations

from collections.abc import Mapping

from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

LOCAL = Credentials("local", "local")


def signed_headers(
    method: str,
    url: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    credentials: Credentials = LOCAL,
    scope: tuple[str, str] = ("lambda", "us-east-1"),
) -> dict[str, str]:
    """`headers` with those that sign the request at the present time; `scope` is service and region.

    All headers are signed except user-agent and x-amzn-trace-id, and `host` with its value from the URL.
    """
    request = AWSRequest(method, url, headers=dict(headers or {}), data=body)
    SigV4Auth(credentials, *scope).add_auth(request)
    return {str(name): str(value) for name, value in request.headers.items()}


def presigned_url(url: str, expires_s: int, method: str = "GET") -> str:
    """The URL with a signature in its query that is valid for `expires_s` from now on."""
    request = AWSRequest(method, url)
    SigV4QueryAuth(LOCAL, "lambda", "us-east-1", expires=expires_s).add_auth(request)
    return str(request.url)
