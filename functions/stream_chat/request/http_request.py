"""A Lambda HTTP event as a plain request, whether it comes from a function URL or a REST API."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from content_coding import COMPRESSIONS, MAX_PIECE_BYTES, MalformedCompressionError, inflated
from errors import RequestError

_ACCEPTED_CODINGS = ("gzip", "deflate")  # x-gzip is another name of the first
_CODINGS = re.compile(r"[a-z0-9_.+-]{1,32}(, [a-z0-9_.+-]{1,32}){0,3}")


class HttpRequest(NamedTuple):
    """The caller's request."""

    method: str  # upper case
    path: str  # without the query and empty segments, so it has no trailing slash unless it is the root
    query: Mapping[str, str]  # the last value of each parameter
    headers: Mapping[str, str]  # by lower-case name
    body: bytes  # the decoded and decompressed bytes
    principal: str = ""  # the ARN of the signer if AWS has verified the request's signature; otherwise empty

    @classmethod
    def from_event(cls, event: Any, max_body_bytes: int) -> HttpRequest:
        """Read payload format 2.0 (function URLs) or 1.0 (REST APIs).

        Raises RequestError: 413 for a body over `max_body_bytes`, compressed or not; 415 for an unsupported
        coding; 400 for a body that is not in its coding, or an event that is not an HTTP request.
        """
        if not is_http_request(event):
            raise RequestError(
                400, "invalid_event", "The event is not an HTTP request of a function URL or a REST API."
            )
        method, _ = _method_and_path(event)
        if event.get("version") == "2.0":
            query = {name: values[-1] for name, values in parse_qs(_string(event, "rawQueryString")).items()}
            identity = _object(_object(_object(event, "requestContext"), "authorizer"), "iam")
        else:
            query = {k: v for k, v in _object(event, "queryStringParameters").items() if isinstance(v, str)}
            identity = _object(_object(event, "requestContext"), "identity")
        headers = {k.lower(): v for k, v in _object(event, "headers").items() if isinstance(v, str)}
        body = _body(event, max_body_bytes)
        if body and "content-encoding" in headers and not _was_inflated(event, body):
            body = _inflated(body, headers["content-encoding"], max_body_bytes)
        return cls(method.upper(), path_of(event), query, headers, body, _string(identity, "userArn"))

    def accepts(self, media_type: str) -> bool:
        """Whether the Accept header names exactly this media type; wildcards do not count."""
        ranges = self.headers.get("accept", "").split(",")
        return any(media_range.split(";")[0].strip().lower() == media_type for media_range in ranges)


def is_http_request(event: object) -> bool:
    """Whether a function URL or an API Gateway API sent this event, in payload format 2.0 or 1.0.

    An event may be any JSON value. Requests of a load balancer and requests to an authorizer look like these
    formats but expect answers of another form.
    """
    if not isinstance(event, Mapping):
        return False
    # cargo-lambda's requests of a function URL have these names too, with null.
    if "elb" in _object(event, "requestContext") or event.get("methodArn") or event.get("routeArn"):
        return False
    return all(isinstance(text, str) for text in _method_and_path(event))


def path_of(event: Mapping[str, Any]) -> str:
    """The path of an HTTP request, as in HttpRequest."""
    _, path = _method_and_path(event)
    # A base URL such as `https://host//v1/` is a client's mistake that every server tolerates.
    return "/" + "/".join(part for part in path.split("/") if part)


def _method_and_path(event: Mapping[str, Any]) -> tuple[Any, Any]:
    if event.get("version") == "2.0":
        return _object(_object(event, "requestContext"), "http").get("method"), event.get("rawPath")
    # With a custom domain, `path` begins with its base path; the parameter of /{proxy+} does not.
    return event.get("httpMethod"), _object(event, "pathParameters").get("proxy") or event.get("path")


def _object(holder: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = holder.get(name)
    return value if isinstance(value, Mapping) else {}


def _string(holder: Mapping[str, Any], name: str) -> str:
    value = holder.get(name)
    return value if isinstance(value, str) else ""


def _body(event: Mapping[str, Any], max_body_bytes: int) -> bytes:
    text = _string(event, "body")
    # JSON can contain a lone surrogate but UTF-8 cannot; `surrogatepass` keeps it for the JSON of the body.
    body = _base64(text) if event.get("isBase64Encoded") else text.encode("utf-8", "surrogatepass")
    if len(body) > max_body_bytes:
        raise _too_large(max_body_bytes)
    return body


def _too_large(max_body_bytes: int) -> RequestError:
    return RequestError(413, "request_too_large", f"The request body is larger than {max_body_bytes} bytes.")


def _was_inflated(event: Mapping[str, Any], body: bytes) -> bool:
    """Whether API Gateway has already decompressed the body, as its REST APIs do with gzip and deflate.

    A compressed JSON object does not begin with a brace: gzip and zlib have headers, and raw deflate encodes
    that character as another byte.
    """
    return event.get("version") != "2.0" and body.lstrip().startswith(b"{")


def _inflated(body: bytes, encoding: str, max_body_bytes: int) -> bytes:
    names = [name for part in encoding.split(",") if (name := part.strip().lower()) not in ("", "identity")]
    if not names:
        return body
    coding = ", ".join(names)
    if coding not in COMPRESSIONS:
        named = f"`{coding}`" if _CODINGS.fullmatch(coding) else "something else"
        accepted, headers = " or ".join(_ACCEPTED_CODINGS), {"accept-encoding": ", ".join(_ACCEPTED_CODINGS)}
        message = f"The Content-Encoding of a request may be {accepted}, but it is {named}."
        raise RequestError(415, "unsupported_content_encoding", message, headers=headers)
    whole = bytearray()
    try:
        pieces = (body[start : start + MAX_PIECE_BYTES] for start in range(0, len(body), MAX_PIECE_BYTES))
        for piece in inflated(pieces, coding):
            whole += piece
            if len(whole) > max_body_bytes:
                raise _too_large(max_body_bytes)
    except MalformedCompressionError as error:
        message = f"The request body is not valid {coding}, which its Content-Encoding names: {error}."
        raise RequestError(400, "invalid_body", message) from None
    return bytes(whole)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise RequestError(400, "invalid_body", "The request body is not valid base64.") from None
