"""The signatures that the local function URL accepts and refuses; botocore makes them."""

from __future__ import annotations

import dataclasses
import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from botocore.auth import SIGV4_TIMESTAMP
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from local.function_url.event import IamCaller, SignatureError, UrlRequest
from local.function_url.signature import signed_caller
from tests.support.aws.signed_requests import presigned_url, signed_headers

URL = "http://127.0.0.1:3000"
CHAT = f"{URL}/v1/chat/completions"
CALLER = IamCaller("local", "123456789012", "AIDALOCAL", "arn:aws:iam::123456789012:user/local")


def request_of(url: str, headers: dict[str, str], method: str = "GET", body: bytes = b"") -> UrlRequest:
    """The request as the function URL receives it, with the client's Host, at the time of its signature."""
    parts = urlsplit(url)
    parameters = dict(parse_qsl(parts.query))
    signed_at = headers.get("X-Amz-Date") or parameters.get("X-Amz-Date") or "20261125T000000Z"
    return UrlRequest(
        method=method,
        raw_path=parts.path,
        query=parts.query,
        headers=(("Host", parts.netloc), *headers.items()),
        body=body,
        source_ip="127.0.0.1",
        port=3000,
        request_id="id-1",
        trace_id="Root=1",
        epoch_ms=int(datetime.strptime(signed_at, SIGV4_TIMESTAMP).replace(tzinfo=UTC).timestamp() * 1000),
    )


def signed(url: str = CHAT, method: str = "POST", body: bytes = b"{}", **more: Any) -> UrlRequest:
    return request_of(url, signed_headers(method, url, body, **more), method, body)


def later(request: UrlRequest, seconds: int) -> UrlRequest:
    return dataclasses.replace(request, epoch_ms=request.epoch_ms + seconds * 1000)


def with_header(request: UrlRequest, name: str, value: str) -> UrlRequest:
    others = tuple(pair for pair in request.headers if pair[0].lower() != name.lower())
    return dataclasses.replace(request, headers=(*others, (name, value)))


def refusal_of(request: UrlRequest) -> SignatureError:
    with pytest.raises(SignatureError) as raised:
        signed_caller(request)
    return raised.value


@pytest.mark.parametrize(
    "request_",
    [
        signed(),
        signed(URL, "GET", b""),
        signed(f"{URL}/chatCompletion?message=hello%20you&b=2&a=1&a=0&empty=", "GET", b""),
        signed(f"{URL}//a/./b/../c%20d/%C3%BC~x/", "GET", b""),
        signed(body="ü".encode() * 1000),
        signed(headers={"content-type": "application/json", "x-spaces": "  a   b  "}),
        signed(scope=("lambda", "eu-central-1")),
        signed(credentials=Credentials("local", "local", "a session's token")),
    ],
)
def test_a_request_signed_by_botocore_is_accepted(request_: UrlRequest) -> None:
    assert signed_caller(request_) == CALLER


@given(st.binary(max_size=200), st.sampled_from(["PUT", "POST", "DELETE"]))
def test_every_body_can_be_signed(body: bytes, method: str) -> None:
    assert signed_caller(signed(method=method, body=body)) == CALLER


def test_another_spelling_of_the_same_query_has_the_same_signature() -> None:
    request = signed(f"{URL}/chatCompletion?a=%2F%20~&a=%C3%BC&b=c%3Dd&e=", "GET", b"")
    assert signed_caller(dataclasses.replace(request, query="b=c=d&a=%c3%bc&&e&a=/+~")) == CALLER


def test_a_header_sent_twice_is_signed_as_one_with_both_values() -> None:
    request = signed(headers={"x-a": "1,2"})
    others = tuple(pair for pair in request.headers if pair[0] != "x-a")
    twice = dataclasses.replace(request, headers=(*others, ("X-A", "1"), ("x-a", " 2")))
    assert signed_caller(twice) == CALLER


def test_a_header_is_signed_as_the_bytes_received() -> None:
    request = with_header(signed(headers={"x-a": "ü"}), "x-a", "ü".encode().decode("latin-1"))
    assert signed_caller(request) == CALLER


@pytest.mark.parametrize(
    "changes",
    [{"method": "PUT"}, {"raw_path": "/v1/responses"}, {"query": "a=1"}, {"body": b"{ }"}, {"body": b""}],
)
def test_a_request_changed_after_signing_is_refused(changes: dict[str, Any]) -> None:
    refusal = refusal_of(dataclasses.replace(signed(), **changes))
    assert refusal.error_type == "InvalidSignatureException"
    assert refusal.document["message"].startswith("The request signature we calculated does not match")


@pytest.mark.parametrize(("name", "value"), [("x-a", "2"), ("host", "elsewhere.example")])
def test_a_signed_header_with_another_value_is_refused(name: str, value: str) -> None:
    request = with_header(signed(headers={"x-a": "1"}), name, value)
    assert refusal_of(request).error_type == "InvalidSignatureException"


def test_an_unsigned_header_may_have_any_value() -> None:
    request = with_header(with_header(signed(), "user-agent", "curl"), "x-added-by-a-proxy", "1")
    assert signed_caller(request) == CALLER


def test_a_signature_made_with_another_secret_is_refused() -> None:
    request = signed(credentials=Credentials("local", "guessed"))
    assert refusal_of(request).error_type == "InvalidSignatureException"


def test_another_access_key_is_refused() -> None:
    refusal = refusal_of(signed(credentials=Credentials("AKIAOTHER", "local")))
    assert refusal.error_type == "UnrecognizedClientException"
    assert refusal.document == {"message": "The security token included in the request is invalid."}


def test_a_content_hash_is_optional_and_must_be_that_of_the_body() -> None:
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    right = signed(body=b"", headers={"x-amz-content-sha256": empty})
    assert signed_caller(right) == CALLER
    for wrong in (empty, "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"):
        request = signed(headers={"x-amz-content-sha256": wrong})
        assert refusal_of(request).error_type == "InvalidSignatureException"


@pytest.mark.parametrize("seconds", [-300, 300])
def test_a_signature_is_valid_from_five_minutes_before_to_five_minutes_after_its_time(seconds: int) -> None:
    assert signed_caller(later(signed(), seconds)) == CALLER


@pytest.mark.parametrize(
    ("seconds", "message"),
    [
        (301, r"Signature expired: made at \w+, read at \w+\."),
        (-301, r"Signature not yet current: made at \w+, read at \w+\."),
    ],
)
def test_a_signature_outside_that_window_is_refused(seconds: int, message: str) -> None:
    refusal = refusal_of(later(signed(), seconds))
    assert refusal.error_type == "InvalidSignatureException"
    assert re.fullmatch(message, refusal.document["message"])


def test_a_presigned_url_is_valid_until_it_expires() -> None:
    url = presigned_url(f"{URL}/chatCompletion?message=hello%20you", expires_s=3600)
    request = request_of(url, {})
    assert signed_caller(request) == CALLER
    assert signed_caller(later(request, 3600)) == CALLER
    assert "expired" in refusal_of(later(request, 3601)).document["message"]
    altered = dataclasses.replace(request, query=request.query.replace("hello", "goodbye"))
    assert refusal_of(altered).error_type == "InvalidSignatureException"


def test_a_presigned_url_is_valid_for_its_own_method_only() -> None:
    url = presigned_url(CHAT, expires_s=60)
    assert refusal_of(request_of(url, {}, "POST")).error_type == "InvalidSignatureException"


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "1e3", ""])
def test_a_presigned_url_lasts_from_one_second_to_one_week(expires: str) -> None:
    url = re.sub("X-Amz-Expires=60", f"X-Amz-Expires={expires}", presigned_url(CHAT, expires_s=60))
    assert refusal_of(request_of(url, {})).error_type == "IncompleteSignatureException"


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer a-key"}, {"authorization": ""}])
def test_a_request_without_a_signature_is_denied_access(headers: dict[str, str]) -> None:
    refusal = refusal_of(request_of(CHAT, headers))
    assert refusal.error_type == "AccessDeniedException"
    assert refusal.document["Message"].startswith("Forbidden. For troubleshooting Function URL authorization")


SCOPE = "local/20261125/us-east-1/lambda/aws4_request"


@pytest.mark.parametrize(
    ("authorization", "message"),
    [
        (f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=host", "'Signature'"),
        (f"AWS4-HMAC-SHA256 Credential={SCOPE}, Signature=0", "'SignedHeaders'"),
        ("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=0", "'Credential'"),
        (f"AWS4-HMAC-SHA256 Credential={SCOPE}, SignedHeaders=x-amz-date, Signature=0", "'Host'"),
        ("AWS4-HMAC-SHA256", "'Credential'"),
    ],
)
def test_the_refusal_names_the_missing_part_of_a_signature(authorization: str, message: str) -> None:
    request = with_header(signed(), "authorization", authorization)
    refusal = refusal_of(request)
    assert refusal.error_type == "IncompleteSignatureException"
    assert message in refusal.document["message"]


@pytest.mark.parametrize("date", ["", "2026-11-25", "20261325T000000Z"])
def test_a_signature_without_a_date_is_refused(date: str) -> None:
    request = with_header(signed(), "x-amz-date", date)
    assert refusal_of(request).error_type == "IncompleteSignatureException"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("/lambda/", "/execute-api/"),
        ("/aws4_request", "/aws5_request"),
        ("/us-east-1/", "/"),
        ("local/2", "local/1"),
    ],
)
def test_a_credential_for_something_else_is_refused(old: str, new: str) -> None:
    request = signed()
    authorization = dict(request.headers)["Authorization"].replace(old, new)
    refusal = refusal_of(with_header(request, "Authorization", authorization))
    assert refusal.error_type == "InvalidSignatureException"
    assert "/lambda/aws4_request" in refusal.document["message"]


@given(st.text(max_size=60), st.text(max_size=60))
def test_any_forged_signature_ends_in_a_refusal(claimed: str, query: str) -> None:
    request = request_of(CHAT, {"authorization": f"AWS4-HMAC-SHA256 {claimed}", "x-amz-date": claimed})
    refusal_of(request)
    refusal_of(dataclasses.replace(request_of(CHAT, {}), query=f"X-Amz-Algorithm=AWS4-HMAC-SHA256&{query}"))


@given(st.fixed_dictionaries({}, optional={name: st.text() for name in ("Signature", "SignedHeaders")}))
def test_any_repeated_signature_parameter_of_a_presigned_url_ends_in_a_refusal(
    claimed: dict[str, str],
) -> None:
    request = request_of(presigned_url(CHAT, expires_s=60), {})
    more = "".join(f"&X-Amz-{name}={value}" for name, value in claimed.items())
    refusal_of(dataclasses.replace(request, query=f"{request.query}{more}&x=1"))
