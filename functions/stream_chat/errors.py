"""The errors of an exchange, as exceptions that know their HTTP status."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Literal


class RelayError(Exception):
    """An error that is sent to the caller in OpenAI's shape.

    Args:
        status: HTTP status, used as long as nothing has been sent.
        code: stable, machine-readable name of the error.
        message: one sentence for a person, without secrets. If the upstream reported the error, it may quote
            the upstream, so it goes to the caller and the transcript but never to the log.
        type: OpenAI's class of error.
        param: the field of the request that is at fault, if there is one.
        headers: more response headers (`allow`, `retry-after`).
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type: str = "invalid_request_error",  # noqa: A002 - the name of the field in OpenAI's error object
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.type = type
        self.param = param
        self.headers = dict(headers or {})

    def details(self) -> dict[str, Any]:
        """OpenAI's error object: `message`, `type`, `param` and `code`."""
        return {"message": self.message, "type": self.type, "param": self.param, "code": self.code}

    def document(self) -> bytes:
        """The error as OpenAI writes it: `{"error": {…}}`, ASCII-escaped."""
        return json.dumps({"error": self.details()}, separators=(",", ":")).encode("ascii")


class RequestError(RelayError):
    """The caller's request is at fault. The upstream is not asked."""


def unavailable(code: str, message: str, retry_after_s: float) -> RequestError:
    """503: something that the relay needs to admit a request cannot be reached. It may be tried again."""
    headers = {"retry-after": str(max(1, math.ceil(retry_after_s)))}
    return RequestError(503, code, message, type="server_error", headers=headers)


class UpstreamError(RelayError):
    """The upstream gave no answer, or an incomplete one.

    Args:
        outcome: the outcome in the transcript: `failed`, or `truncated` if an answer was cut off.
        body: the upstream's own error document, which is passed on unchanged in place of `document()`.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        type: str = "upstream_error",  # noqa: A002 - as above
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        outcome: Literal["failed", "truncated"] = "failed",
        body: bytes | None = None,
    ) -> None:
        super().__init__(status, code, message, type=type, param=param, headers=headers)
        self.outcome: Literal["failed", "truncated"] = outcome
        self.body = body

    def details(self) -> dict[str, Any]:
        """OpenAI's error object, with the upstream's own message if it may be passed on."""
        own = super().details()
        try:
            error = json.loads(self.body)["error"] if self.body is not None else {}
        except RecursionError:  # it could be written, but is nested too deeply to be read from here
            error = {}
        if not isinstance(error, dict):
            error = {"message": str(error)}
        code = error.get("code")
        upstream_error = {**error, "code": str(code) if isinstance(code, int) else code}
        return {**upstream_error, **{name: upstream_error.get(name) or own[name] for name in own}}

    def document(self) -> bytes:
        """The upstream's own error document if it may be passed on, otherwise one in OpenAI's shape."""
        return self.body if self.body is not None else super().document()
