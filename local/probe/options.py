"""What `make probe` is asked to do, read from the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, urlsplit

from settings_reading.readers import is_this_machine

AUTH_KINDS = ("key", "iam", "none")


class ProbeOptionsError(ValueError):
    """An option is missing or invalid; the message is one sentence that names it."""


@dataclass(frozen=True, kw_only=True)
class ProbeOptions:
    """What to ask, and how.

    Args:
        url: the relay's base URL, without a trailing slash.
        key: the caller's key or token; empty: none.
        auth: how callers prove who they are: `key` (also tokens), `iam` or `none`.
        model: the model to ask for; empty: the relay's default.
        origin: an origin whose pages may call; empty: unknown.
        slow: whether to try what takes long: yes, no, or (None) only with the scripted model.
        responses: whether the Responses API is expected to work.
        silence_s: how long the silence is that keep-alives must bridge.
    """

    url: str
    key: str = field(default="", repr=False)
    auth: str = "none"
    model: str = ""
    origin: str = ""
    slow: bool | None = None
    responses: bool = True
    silence_s: int = 20

    @property
    def is_local(self) -> bool:
        """Whether the relay is on this machine."""
        return is_this_machine(urlsplit(self.url).hostname or "")

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> ProbeOptions:
        """Read URL, KEY, AUTH, MODEL, ORIGIN, SLOW and RESPONSES. Raises ProbeOptionsError."""
        values = {name: value.strip() for name, value in environ.items()}
        url = values.get("URL", "").rstrip("/").removesuffix("/v1")
        if not url:
            raise ProbeOptionsError("URL must be the relay's address, such as URL=http://127.0.0.1:3000")
        parts = _parts(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ProbeOptionsError("URL must be an absolute http(s) URL without a query")
        if "@" in parts.netloc:
            raise ProbeOptionsError("URL must have no user or password: KEY is for the caller's key")
        key = values.get("KEY", "")
        if not key.isascii() or not key.isprintable():
            raise ProbeOptionsError("KEY must be printable ASCII: the key or the token itself, nothing else")
        if key and parts.scheme == "http" and not is_this_machine(parts.hostname):
            raise ProbeOptionsError("URL must be an https URL: with http, anyone on the way reads the KEY")
        auth = values.get("AUTH", "").lower() or ("key" if key else "none")
        if auth not in AUTH_KINDS:
            raise ProbeOptionsError(f"AUTH must be one of {', '.join(AUTH_KINDS)}, not {auth!r}")
        if (auth == "key") != bool(key):
            raise ProbeOptionsError("AUTH=key needs KEY, and KEY needs AUTH=key (or no AUTH)")
        return cls(
            url=url,
            key=key,
            auth=auth,
            model=values.get("MODEL", ""),
            origin=values.get("ORIGIN", "").rstrip("/"),
            slow=_flag(values, "SLOW"),
            responses=_flag(values, "RESPONSES") is not False,
        )


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise ProbeOptionsError(f"URL cannot be read: {error}") from None
    return parts


def _flag(values: Mapping[str, str], name: str) -> bool | None:
    value = values.get(name, "").lower()
    if value not in ("", "1", "true", "yes", "0", "false", "no"):
        raise ProbeOptionsError(f"{name} must be 1 or 0, not {value!r}")
    return value in ("1", "true", "yes") if value else None
