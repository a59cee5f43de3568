"""What a function URL with AuthType AWS_IAM checks before it invokes: AWS Signature Version 4 (pure).

botocore signs the request again as it came, and the signatures are compared
(https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html). What IAM would decide about a
known caller is left out: here there is one, and they may call.
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
from local.function_url.event import IamCaller, SignatureRefused, UrlRequest

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "lambda"
CLOCK_WINDOW = timedelta(minutes=5)  # what Lambda's own messages name
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
    """What the caller says of their signature, in the Authorization header or in the query."""

    credential: str
    signed_headers: frozenset[str]
    signature: str
    timestamp: str
    lifetime: timedelta


class _Signer(SigV4Auth):
    """Signs the headers that the claim names and no others, all of which must be among the request's."""

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
    """Who has signed the request, at the time that it says itself. Raises SignatureRefused.

    The headers must be those that came, in latin-1, and a repeated one as often as it came.
    """
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault(name.lower(), []).append(_utf8(value))
    query = parse_qsl(_utf8(request.query), keep_blank_values=True)
    claim = _claim(headers, dict(query))
    _check_time(claim, datetime.fromtimestamp(request.epoch_ms // 1000, UTC))
    if claim.credential.partition("/")[0] != ACCESS_KEY_ID:
        raise SignatureRefused(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    # Lambda takes no unsigned payload: a hash that is not the body's can only be wrong.
    payload_hash = hashlib.sha256(request.body).hexdigest()
    is_whole = claim.signed_headers <= headers.keys() and headers.get(
        "x-amz-content-sha256", [payload_hash]
    ) == [payload_hash]
    expected = _signature(claim, request, headers, query) if is_whole else ""
    if not hmac.compare_digest(expected.encode(), claim.signature.encode()):
        raise SignatureRefused("InvalidSignatureException", MISMATCH)
    return IamCaller(ACCESS_KEY_ID, ACCOUNT, USER_ID, f"arn:aws:iam::{ACCOUNT}:user/local")


def _utf8(text: str) -> str:
    """What was decoded as latin-1, decoded as signers encode it; bytes that are not UTF-8 match nothing."""
    return text.encode("latin-1", "replace").decode("utf-8", "replace")


def _claim(headers: Mapping[str, list[str]], parameters: Mapping[str, str]) -> _Claim:
    """Raises SignatureRefused for a request that is not signed, or not in the way that is asked for."""
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
        raise SignatureRefused("AccessDeniedException", DENIED)
    for name in ("Credential", "SignedHeaders", "Signature", "Date"):
        if not parts.get(name):
            raise _incomplete(f"The signature lacks {name!r}.")
    names = frozenset(parts["SignedHeaders"].split(";"))
    if "host" not in names:
        raise _incomplete("'Host' must be among the signed headers.")
    return _Claim(parts["Credential"], names, parts["Signature"], parts["Date"], lifetime)


def _lifetime(expires: str) -> timedelta:
    is_number = expires.isascii() and expires.isdecimal() and len(expires) <= len(str(MAX_EXPIRES_S))
    if not (is_number and 1 <= int(expires) <= MAX_EXPIRES_S):
        raise _incomplete(f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES_S}.")
    return timedelta(seconds=int(expires))


def _incomplete(message: str) -> SignatureRefused:
    return SignatureRefused("IncompleteSignatureException", message)


def _check_time(claim: _Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.timestamp, SIGV4_TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        raise _incomplete("X-Amz-Date must be a time such as 20150830T123600Z.") from None
    if not -CLOCK_WINDOW <= now - signed_at <= claim.lifetime:
        fault = "expired" if now > signed_at else "not yet current"
        raise SignatureRefused(
            "InvalidSignatureException",
            f"Signature {fault}: made at {claim.timestamp}, read at {now:{SIGV4_TIMESTAMP}}.",
        )


def _signature(
    claim: _Claim, request: UrlRequest, headers: Mapping[str, list[str]], query: Sequence[tuple[str, str]]
) -> str:
    """The signature that the claim should have, if it is for Lambda and of the day that it names."""
    scope = claim.credential.split("/")
    signer = _Signer(scope[2] if len(scope) == 5 else "", claim.signed_headers)
    parameters = [(name, value) for name, value in query if name != "X-Amz-Signature"]
    again = AWSRequest(
        request.method,
        f"http://localhost{request.raw_path}",
        data=request.body,
        params=parameters,  # type: ignore[arg-type]  # pairs, since a name may come twice
    )
    for name, values in headers.items():
        for value in values:
            again.headers[name] = value
    again.context["timestamp"] = claim.timestamp
    if signer.scope(again) != claim.credential:
        message = f"The credential should be {signer.scope(again)!r}, with the region's name in its middle."
        raise SignatureRefused("InvalidSignatureException", message)
    return str(signer.signature(signer.string_to_sign(again, signer.canonical_request(again)), again))
