"""The HTTP client of the probe: asks, notes when each piece arrives, and translates httpx's errors."""

from __future__ import annotations

import json
import os
import re
import ssl
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import botocore.session
import httpx
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from chat_stream.json_values import parsed_object
from local.probe.arrivals import Arrival
from local.probe.options import ProbeOptions, ProbeOptionsError
from local.verdicts import HIDDEN

CONNECT_LIMIT_S = 10.0
SILENCE_LIMIT_S = 30.0  # without a byte
MODEL_SILENCE_LIMIT_S = 60.0  # likewise; the relay itself gives up on a silent model after as long
WRONG_KEY = "a-key-that-nobody-has"
MAX_BODY_BYTES = 64 * 1024 * 1024

_FUNCTION_URL = re.compile(r"[a-z0-9]+\.lambda-url\.([a-z0-9-]+)\.on\.aws")
_REST_API = re.compile(r"[a-z0-9]+\.execute-api\.([a-z0-9-]+)\.amazonaws\.com")

Who = Literal["caller", "nobody", "stranger"]  # with the caller's key, without one, with a wrong one


@dataclass(frozen=True)
class Reply:
    """An answer as it arrived.

    Args:
        status: 0 if there was no answer at all; `failure` then says why.
        headers: names in lower case, repeated ones several times.
        head_s: when the head arrived, in seconds after the request was sent.
        ended_s: when the body ended, broke off or was left.
        failure: why the answer is not whole; empty if it is, or if the probe itself left.
    """

    status: int = 0
    headers: tuple[tuple[str, str], ...] = ()
    head_s: float = 0.0
    ended_s: float = 0.0
    body: bytes = b""
    arrivals: tuple[Arrival, ...] = field(default=(), repr=False)
    failure: str = ""

    def header(self, name: str) -> str:
        """The header's values, joined by commas; empty if it is absent."""
        return ", ".join(self.values(name))

    def values(self, name: str) -> list[str]:
        """Each value of the header as it was sent."""
        return [value for header, value in self.headers if header == name]

    @property
    def media_type(self) -> str:
        """The content type without its parameters, in lower case."""
        return self.header("content-type").partition(";")[0].strip().lower()

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    def document(self) -> dict[str, Any]:
        """The body's JSON object; empty if it is anything else."""
        return parsed_object(self.text)

    @property
    def excerpt(self) -> str:
        """The status and the first words of the body, or the failure, for a person."""
        if not self.status:
            return self.failure
        words = " ".join(self.text.split())
        shown = f"status {self.status}" + (f": {words[:120]}" if words else " with an empty body")
        return f"{shown} ({self.failure})" if self.failure else shown


class Caller:
    """Asks one relay. A context manager.

    Raises ProbeOptionsError if AUTH=iam and there are no AWS credentials or no region.
    """

    def __init__(self, options: ProbeOptions) -> None:
        self.options = options
        self._signature = _Signature(options.url) if options.auth == "iam" else None
        self._client = httpx.Client(
            timeout=httpx.Timeout(SILENCE_LIMIT_S, connect=CONNECT_LIMIT_S),
            trust_env=not options.is_local,  # a proxy cannot reach this machine
            verify=ssl.create_default_context(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must not appear in any output."""
        return (self.options.key, *(self._signature.secrets if self._signature else ()))

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        who: Who = "caller",
        leave: Callable[[bytes], bool] | None = None,
        silence_limit_s: float = SILENCE_LIMIT_S,
    ) -> Reply:
        """Send one request and read the answer to its end.

        Args:
            leave: called with each piece; if it returns True, the connection is closed at once.
            silence_limit_s: how long to wait for the head, and then for each piece.
        """
        content = json.dumps(body).encode() if body is not None else b""
        asked = {"accept-encoding": "gzip", **({"content-type": "application/json"} if content else {})}
        request = self._client.build_request(
            method,
            f"{self.options.url}{path}",
            content=content or None,
            headers={**asked, **self._key(who), **(headers or {})},
            timeout=httpx.Timeout(silence_limit_s, connect=CONNECT_LIMIT_S),
        )
        signature = self._signature if who == "caller" else None
        return self._send(request, signature, leave, silence_limit_s)

    def _without_secrets(self, body: bytes) -> bytes:
        """The body without the caller's key, which a careless server may repeat in an error."""
        for secret in self.secrets:
            body = body.replace(secret.encode(), HIDDEN.encode()) if secret else body
        return body

    def _key(self, who: Who) -> dict[str, str]:
        key = {"caller": self.options.key, "nobody": "", "stranger": WRONG_KEY}[who]
        return {"authorization": f"Bearer {key}"} if key else {}

    def _send(
        self,
        request: httpx.Request,
        signature: httpx.Auth | None,
        leave: Callable[[bytes], bool] | None,
        silence_limit_s: float,
    ) -> Reply:
        began_at = time.monotonic()
        status, head_s, failure = 0, 0.0, ""
        headers: tuple[tuple[str, str], ...] = ()
        body, arrivals = bytearray(), []
        response: httpx.Response | None = None
        try:
            response = self._client.send(request, auth=signature, stream=True)
            head_s = time.monotonic() - began_at
            status = response.status_code
            headers = tuple((name.lower(), value) for name, value in response.headers.multi_items())
            for piece in response.iter_bytes():
                arrivals.append(Arrival(time.monotonic() - began_at, len(piece)))
                body += piece
                if len(body) > MAX_BODY_BYTES or (leave is not None and leave(piece)):
                    break
        except httpx.ReadTimeout:
            failure = f"silent for {silence_limit_s:.0f} s"
        except httpx.ConnectTimeout:
            failure = f"no connection within {CONNECT_LIMIT_S:.0f} s"
        except httpx.DecodingError:
            failure = "the body is not in its content-encoding"
        except httpx.RemoteProtocolError:
            failure = "broken off" if status else "the connection was closed without an answer"
        except httpx.TransportError as error:
            failure = f"{type(error).__name__}: {error}" if not status else "broken off"
        finally:
            if response is not None:
                response.close()
        ended_s = time.monotonic() - began_at
        shown = self._without_secrets(bytes(body))
        return Reply(status, headers, head_s, ended_s, shown, tuple(arrivals), failure)


class _Signature(httpx.Auth):
    """AWS Signature Version 4, with the credentials that the AWS CLI would use."""

    requires_request_body = True

    def __init__(self, url: str) -> None:
        host = urlsplit(url).hostname or ""
        found = _FUNCTION_URL.fullmatch(host)
        rest_api = _REST_API.fullmatch(host)
        session = botocore.session.get_session()
        region = (found or rest_api or [None, ""])[1] or session.get_config_variable("region")
        region = region or os.environ.get("AWS_REGION", "")
        credentials = session.get_credentials()
        if credentials is None or not region:
            raise ProbeOptionsError("AUTH=iam needs AWS credentials and a region, as the AWS CLI reads them")
        frozen = credentials.get_frozen_credentials()
        self.secrets = tuple(text for text in (frozen.secret_key, frozen.token) if text)
        self._signer = SigV4Auth(frozen, "execute-api" if rest_api else "lambda", region)

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Sign the host and the body."""
        signed = AWSRequest(request.method, str(request.url), data=request.content)
        if request.content:
            signed.headers["x-amz-content-sha256"] = self._signer.payload(signed)
        self._signer.add_auth(signed)
        for name, value in signed.headers.items():
            request.headers[name] = value
        yield request
