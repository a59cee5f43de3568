"""What a function URL with AuthType AWS_IAM checks before it invokes: AWS Signature Version 4 (pure).

After https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html, and not botocore's signer
run backwards: that one chooses the headers and takes the query as it is, while a check has to read what any
signer sent. What IAM would decide about a known caller is left out: here there is one, and he may call.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl, quote, unquote_plus

from local.aws_services import ACCOUNT
from local.function_url_event import IamCaller, UrlRequest

ALGORITHM = "AWS4-HMAC-SHA256"
SERVICE = "lambda"
TIMESTAMP = "%Y%m%dT%H%M%SZ"
IS_TIMESTAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z")
CLOCK_WINDOW = timedelta(minutes=5)  # what Lambda's own messages name
MAX_EXPIRES_S = 7 * 24 * 3600

# The stack's only credentials, as its functions have them too.
ACCESS_KEY_ID = SECRET_ACCESS_KEY = "local"
USER_ID = "AIDALOCAL"

DENIED = (
    "Forbidden. For troubleshooting Function URL authorization issues, see: "
    "https://docs.aws.amazon.com/lambda/latest/dg/urls-auth.html"
)
MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret "
    "Access Key and signing method. Consult the service documentation for details."
)


class SignatureRefused(Exception):  # noqa: N818 - the signature may be right, and too old
    """The request is not let in: a 403 with `error_type` as x-amzn-errortype and `document` as its JSON."""

    def __init__(self, error_type: str, message: str) -> None:
        super().__init__(f"{error_type}: {message}")
        self.error_type = error_type
        # In capitals where no signature was looked at: so the services differ.
        self.document = {"Message" if error_type == "AccessDeniedException" else "message": message}


@dataclass(frozen=True, slots=True)
class _Claim:
    """What the caller says of his signature, in the Authorization header or in the query."""

    credential: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    expires_s: int | None  # of a presigned URL

    @property
    def scope(self) -> str:
        return self.credential.partition("/")[2]


def signed_caller(request: UrlRequest) -> IamCaller:
    """Who has signed the request, at the time that it says itself. Raises SignatureRefused.

    The headers must be those that came, in latin-1, and a repeated one as often as it came.
    """
    headers: dict[str, list[str]] = {}
    for name, value in request.headers:
        headers.setdefault(name.lower(), []).append(value)
    claim = _claim(headers, request.query)
    now = datetime.fromtimestamp(request.epoch_ms // 1000, UTC)
    _check_time(claim, now)
    access_key_id = _check_scope(claim)
    # Lambda takes no unsigned payload: a hash that is not the body's can only be wrong.
    payload_hash = hashlib.sha256(request.body).hexdigest()
    named_hashes = headers.get("x-amz-content-sha256", [payload_hash])
    expected = _signature(claim, _canonical_request(claim, request, headers, payload_hash))
    is_right = hmac.compare_digest(expected.encode(), claim.signature.encode("utf-8", "surrogatepass"))
    if not is_right or named_hashes != [payload_hash]:
        raise SignatureRefused("InvalidSignatureException", MISMATCH)
    return IamCaller(access_key_id, ACCOUNT, USER_ID, f"arn:aws:iam::{ACCOUNT}:user/local")


def _claim(headers: Mapping[str, list[str]], query: str) -> _Claim:
    """Raises SignatureRefused for a request that is not signed, or not in the way that is asked for."""
    authorization = ",".join(headers.get("authorization", []))
    if authorization.startswith(ALGORITHM):
        pairs = [pair.strip().partition("=") for pair in authorization.removeprefix(ALGORITHM).split(",")]
        parts = {name: value for name, _, value in pairs}
        parts["Date"] = ",".join(headers.get("x-amz-date", []))
        return _complete(parts, expires_s=None)
    parameters = dict(parse_qsl(query, keep_blank_values=True))
    if parameters.get("X-Amz-Algorithm") != ALGORITHM:
        raise SignatureRefused("AccessDeniedException", DENIED)
    expires = parameters.get("X-Amz-Expires", "")
    if not (re.fullmatch("[0-9]{1,6}", expires) and 1 <= int(expires) <= MAX_EXPIRES_S):
        raise _incomplete(f"X-Amz-Expires must be a number of seconds from 1 to {MAX_EXPIRES_S}.")
    parts = {name.removeprefix("X-Amz-"): value for name, value in parameters.items()}
    return _complete(parts, int(expires))


def _complete(parts: Mapping[str, str], expires_s: int | None) -> _Claim:
    for name in ("Credential", "SignedHeaders", "Signature"):
        if not parts.get(name):
            raise _incomplete(f"Authorization requires {name!r} parameter.")
    timestamp = parts.get("Date", "")
    if not IS_TIMESTAMP.fullmatch(timestamp):
        raise _incomplete("Authorization requires existence of an X-Amz-Date such as 20150830T123600Z.")
    signed = tuple(parts["SignedHeaders"].split(";"))
    if "host" not in signed:
        raise _incomplete("'Host' must be a 'SignedHeader' in the AWS Authorization.")
    return _Claim(parts["Credential"], signed, parts["Signature"], timestamp, expires_s)


def _incomplete(message: str) -> SignatureRefused:
    return SignatureRefused("IncompleteSignatureException", message)


def _check_time(claim: _Claim, now: datetime) -> None:
    try:
        signed_at = datetime.strptime(claim.timestamp, TIMESTAMP).replace(tzinfo=UTC)
    except ValueError:
        raise _incomplete(f"{claim.timestamp} is no date.") from None
    lifetime = CLOCK_WINDOW if claim.expires_s is None else timedelta(seconds=claim.expires_s)
    latest, earliest = now + CLOCK_WINDOW, now - lifetime
    if signed_at > latest:
        message = (
            f"Signature not yet current: {claim.timestamp} is still later than {latest:{TIMESTAMP}}"
            f" ({now:{TIMESTAMP}} + {_duration(CLOCK_WINDOW)}.)"
        )
    elif signed_at < earliest:
        message = (
            f"Signature expired: {claim.timestamp} is now earlier than {earliest:{TIMESTAMP}}"
            f" ({now:{TIMESTAMP}} - {_duration(lifetime)}.)"
        )
    else:
        return
    raise SignatureRefused("InvalidSignatureException", message)


def _duration(window: timedelta) -> str:
    seconds = int(window.total_seconds())
    return f"{seconds} sec" if seconds % 60 else f"{seconds // 60} min"


def _check_scope(claim: _Claim) -> str:
    """The access key's id, if it is the one that there is and the rest of the credential fits."""
    access_key_id, _, scope = claim.credential.partition("/")
    if access_key_id != ACCESS_KEY_ID:
        raise SignatureRefused(
            "UnrecognizedClientException", "The security token included in the request is invalid."
        )
    parts = scope.split("/")
    if len(parts) != 4:
        raise _incomplete("Credential must have exactly 5 slash-delimited elements.")
    date, _, service, terminator = parts
    if service != SERVICE:
        message = f"Credential should be scoped to correct service: {SERVICE!r}."
    elif terminator != "aws4_request":
        message = "Credential should be scoped with a valid terminator: 'aws4_request'."
    elif date != claim.timestamp[:8]:
        message = f"Date in Credential scope does not match that of X-Amz-Date: {claim.timestamp[:8]!r}."
    else:
        return access_key_id
    raise SignatureRefused("InvalidSignatureException", message)


def _canonical_request(
    claim: _Claim, request: UrlRequest, headers: Mapping[str, list[str]], payload_hash: str
) -> bytes:
    names = sorted(claim.signed_headers)
    lines = [f"{name}:{','.join(_trimmed(value) for value in headers.get(name, []))}" for name in names]
    parts = [
        request.method,
        canonical_path(request.raw_path),
        canonical_query(request.query),
        *lines,
        "",
        ";".join(names),
        payload_hash,
    ]
    # Names that came in the query may be of any script: they were never a header's, and match nothing.
    return "\n".join(parts).encode("latin-1", "replace")


def _trimmed(value: str) -> str:
    return re.sub("[ \t]+", " ", value.strip(" \t"))


def canonical_path(raw_path: str) -> str:
    """Without dots and empty segments, and encoded once more than it came, as for every service but S3."""
    segments: list[str] = []
    for segment in raw_path.split("/"):
        if segment == "..":
            segments = segments[:-1]
        elif segment not in ("", "."):
            segments.append(segment)
    end = "/" if segments and raw_path.endswith("/") else ""
    return quote(f"/{'/'.join(segments)}{end}", safe="/-_.~")


def canonical_query(query: str) -> str:
    """Sorted, each part encoded in the one way that SigV4 knows; without the signature itself."""
    pairs = [pair.partition("=") for pair in query.split("&") if pair]
    encoded = sorted((_encoded(name), _encoded(value)) for name, _, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded if name != "X-Amz-Signature")


def _encoded(text: str) -> str:
    return quote(unquote_plus(text, "latin-1").encode("latin-1", "replace"), safe="-_.~")


def _signature(claim: _Claim, canonical_request: bytes) -> str:
    digest = hashlib.sha256(canonical_request).hexdigest()
    text = "\n".join((ALGORITHM, claim.timestamp, claim.scope, digest))
    key = f"AWS4{SECRET_ACCESS_KEY}".encode()
    for part in (*claim.scope.split("/"), text):
        key = hmac.digest(key, part.encode("utf-8", "surrogatepass"), "sha256")
    return key.hex()
