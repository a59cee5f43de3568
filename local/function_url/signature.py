"""Verify AWS Signature Version 4, as a function URL with AuthType AWS_IAM does before it invokes (pure).

botocore signs the received request again, and the signatures are compared
(https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html). There are no IAM policies: the
stack has one caller, who may call.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

from botocore.auth import SIGV4_TIMESTAMP, SigV4Auth
from botocore.awsrequest import AWSRequest, HTTPHeaders
from botocore.credentials import Credentials

from local.aws.services import ACCESS_KEY_ID, ACCOUNT, SECRET_ACCESS_KEY
from local.function_url.event import IamCaller, SignatureError, UrlRequest

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "lambda"
CLOCK_WINDOW = timedelta(minutes=5)  # as Lambda's own messages state
MAX_EXPIRES_S = 7 * 24 * 3600

USER_ID = "AIDALOCAL"

DENIED = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the Authorization header or the query states about the signature."""

    credential: str
    signed_headers: frozenset[str]
    signature: str
    timestamp: str
    lifetime: timedelta


class _Signer(SigV4Auth):
    """Signs only the headers that the claim names, all of which the request must have."""

    def __init__(self, region: str, signed_headers: frozenset[str]) -> None:
        super().__init__(Credentials(ACCESS_KEY_ID, SECRET_ACCESS_KEY), SERVICE, region)
        self._names = signed_headers

    def headers_to_sign(self, request: AWSRequest) -> HTTPHeaders:
        headers = HTTPHeaders()
        for name, value in request.headers.items():
            if name.lower() in self._names:
                headers[name.lower()] = value
        return headers


def signed_caller(request: UrlRequest) -> IamCaller:
    """The caller who signed the request. Raises SignatureError.

    The headers must be as received: decoded as latin-1, and repeated ones not joined.
    """
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault(name.lower(), []).append(_utf8(value))
    query = parse_qsl(_utf8(request.query), keep_blank_values=True)
    claim = _claim(headers, dict(query))
    _check_time(claim, datetime.fromtimestamp(request.epoch_ms // 1000, UTC))
    if claim.credential.partition("/")[0] != ACCESS_KEY_ID:
        raise SignatureError(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    # Lambda accepts no unsigned payload, so any other value than the hash of the body is wrong.
    payload_hash = hashlib.sha256(request.body).hexdigest()
    stated = headers.get("x-amz-content-sha256", [payload_hash])
    is_whole = claim.signed_headers <= headers.keys() and stated == [payload_hash]
    expected = _signature(claim, request, headers, query) if is_whole else ""
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise SignatureError("InvalidSignatureException", MISMATCH)
    return IamCaller(ACCESS_KEY_ID, ACCOUNT, USER_ID, f"arn:aws:iam::{ACCOUNT}:user/local")


def _utf8(text: str) -> str:
    """Latin-1 text decoded again as UTF-8, which signers use; invalid bytes then match no signature."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _claim(headers: Mapping[str, list[str]], parameters: Mapping[str, str]) -> _Claim:
    """Read the claim. Raises SignatureError for a request that is unsigned or incompletely signed."""
    authorization = ",".join(headers.get("authorization", []))
    if authorization.startswith(ALGORITHM):
        pairs = [pair.strip().partition("=") for pair in authorization.removeprefix(ALGORITHM).split(",")]
        parts = {name: value for name, _, value in pairs}
        parts["Date"] = ",".join(headers.get("x-amz-date", []))
        lifetime = CLOCK_WINDOW
    elif parameters.get("X-Amz-Algorithm") == ALGORITHM:
        parts = {name.removeprefix("X-Amz-"): value for name, value in parameters.items()}
        lifetime = _lifetime(parts.get("Expires", ""))
    else:
        raise SignatureError("AccessDeniedException", DENIED)
    for name in ("Credential", "SignedHeaders", "Signature", "Date"):
        if not parts.get(name):
            raise _incomplete(f"The signature has no {name!r}.")
    names = frozenset(parts["SignedHeaders"].split(";"))
    if "host" not in names:
        raise _incomplete("'Host' must be among the signed headers.")
    return _Claim(parts["Credential"], names, parts["Signature"], parts["Date"], lifetime)


def _lifetime(expires: str) -> timedelta:
    is_number = expires.isascii() and expires.isdecimal() and len(expires) <= len(str(MAX_EXPIRES_S))
    if not (is_number and 1 <= int(expires) <= MAX_EXPIRES_S):
        raise _incomplete(f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES_S}.")
    return timedelta(seconds=int(expires))


def _incomplete(message: str) -> SignatureError:
    return SignatureError("IncompleteSignatureException", message)


def _check_time(claim: _Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.timestamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        raise _incomplete("X-Amz-Date must be a time such as 20150830T123600Z.") from None
    if not -CLOCK_WINDOW <= now - signed_at <= claim.lifetime:
        fault = "expired" if now > signed_at else "not yet current"
        times = f"made at {claim.timestamp}, read at {now:{SIGV4_TIMESTAMP}}"
        raise SignatureError("InvalidSignatureException", f"Signature {fault}: {times}.")


def _signature(
    claim: _Claim, request: UrlRequest, headers: Mapping[str, list[str]], query: Sequence[tuple[str, str]]
) -> str:
    """The signature that the request should have. Raises SignatureError for another credential scope."""
    scope = claim.credential.split("/")
    signer = _Signer(scope[2] if len(scope) == 5 else "", claim.signed_headers)
    parameters = [(name, value) for name, value in query if name != "X-Amz-Signature"]
    again = AWSRequest(
        request.method,
        f"http://localhost{request.raw_path}",
        data=request.body,
        params=parameters,  # type: ignore[arg-type]  # pairs, because a name may be repeated
    )
    for name, values in headers.items():
        for value in values:
            again.headers[name] = value
    again.context["timestamp"] = claim.timestamp
    if signer.scope(again) != claim.credential:
        expected = f"{signer.scope(again)!r}, with the name of the region in the middle"
        raise SignatureError("InvalidSignatureException", f"The credential should be {expected}.")
    return str(signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again))
