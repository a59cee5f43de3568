"""The streaming function's settings: read from the environment once, checked before the first request."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from settings_error import SettingsError

if TYPE_CHECKING:
    from chat_stream.transcript_content import TranscriptContent

OPENAI_URL = "https://api.openai.com/v1"
API_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}")  # 2024-10-21, 2025-04-01-preview, preview
CALLER_KEY = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64}):(?P<sha256>[0-9a-fA-F]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that a deployment can decide about the streaming function."""

    openai_base_url: str = OPENAI_URL
    openai_api_key: str = ""
    openai_api_key_secret_id: str = ""
    openai_key_header: str = "authorization"  # or api-key, as Azure OpenAI reads it
    openai_api_version: str = ""  # Azure OpenAI's query parameter `api-version`; empty: none
    default_model: str = "gpt-5-mini"
    allowed_models: tuple[str, ...] = ()  # empty: every model
    auth_mode: str = "keys"
    caller_keys: tuple[tuple[str, str], ...] = ()  # (name, SHA-256 of the key in lower-case hex)
    connect_timeout_s: float = 5.0
    first_byte_timeout_s: float = 60.0
    idle_timeout_s: float = 60.0
    upstream_retries: int = 2
    keep_alive_s: float = 15.0  # platforms and proxies on the way cut what is silent for longer
    deadline_reserve_s: float = 3.0  # kept back from the function's timeout for the error and the hand-off
    max_body_bytes: int = 6 * 1024 * 1024  # what Lambda accepts as a request
    include_usage: bool = True
    transcript_function_name: str = ""  # empty: nothing is handed off
    transcript_bucket: str = ""  # for transcripts that are larger than an invocation takes
    transcript_dead_letter_queue_url: str = ""  # for those with which the companion could not be invoked
    transcript_content: TranscriptContent = "full"
    log_level: str = "INFO"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Settings from environment variables; a variable that is absent or empty keeps its default.

        Raises:
            SettingsError: naming the variable, and what it should hold.
        """
        values = {
            name.lower(): read(name, environ[name].strip())
            for name, read in _READERS.items()
            if environ.get(name, "").strip()
        }
        settings = cls(**values)  # type: ignore[arg-type]  # each reader returns its field's type
        if settings.allowed_models and "default_model" not in values:
            settings = replace(settings, default_model=settings.allowed_models[0])
        settings._check_key()
        settings._check_default_model()
        return settings

    def _check_default_model(self) -> None:
        if self.allowed_models and self.default_model not in self.allowed_models:
            raise SettingsError("DEFAULT_MODEL must be one of ALLOWED_MODELS")

    def _check_key(self) -> None:
        if self.openai_api_key and self.openai_api_key_secret_id:
            raise SettingsError(
                "OPENAI_API_KEY and OPENAI_API_KEY_SECRET_ID are both set: set only one of them"
            )
        if self.openai_base_url == OPENAI_URL and not (self.openai_api_key or self.openai_api_key_secret_id):
            raise SettingsError(f"OPENAI_API_KEY or OPENAI_API_KEY_SECRET_ID must be set to use {OPENAI_URL}")


def _text(name: str, value: str) -> str:
    return value


def _header_text(name: str, value: str) -> str:
    # The value goes into a header: what cannot stand there would only fail at the first request. Never shown.
    if not (value.isascii() and value.isprintable()):
        raise SettingsError(f"{name} must be printable ASCII on one line")
    return value


def _base_url(name: str, value: str) -> str:
    """The URL below which the API lies. A host alone means its `/v1`, where nearly every server has it."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{name} must be an absolute http(s) URL such as {OPENAI_URL}")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError(f"{name} must have no user, password, query or fragment")
    url = value.rstrip("/")
    if url.endswith(("/chat/completions", "/responses")):
        raise SettingsError(f"{name} must be the base URL, such as {OPENAI_URL}, without the endpoint's path")
    return url if parts.path.strip("/") else f"{url}/v1"


def _api_version(name: str, value: str) -> str:
    if API_VERSION.fullmatch(value) is None:
        raise SettingsError(f"{name} must be a version such as 2024-10-21, not {value!r}")
    return value


def _queue_url(name: str, value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise SettingsError(f"{name} must be the URL of an SQS queue, not {value!r}")
    return value


def _names(name: str, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _caller_keys(name: str, value: str) -> tuple[tuple[str, str], ...]:
    keys: dict[str, str] = {}
    for position, pair in enumerate((part.strip() for part in value.split(",") if part.strip()), start=1):
        match = CALLER_KEY.fullmatch(pair)
        if match is None:  # the pair itself may be a key in plain text: it is not repeated
            raise SettingsError(
                f"{name}: entry {position} must be name:sha256, the SHA-256 of the key as 64 hex digits"
            )
        if match["name"] in keys:
            raise SettingsError(f"{name}: the name {match['name']} stands there twice")
        keys[match["name"]] = match["sha256"].lower()
    return tuple(keys.items())


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= 900:  # a Lambda function runs for 15 minutes at most
        raise SettingsError(f"{name} must be a number of seconds above 0 and at most 900, not {value!r}")
    return seconds


def _whole(lowest: int, highest: int) -> Callable[[str, str], int]:
    def read(name: str, value: str) -> int:
        if not (value.isascii() and value.isdigit() and len(value) < 20 and lowest <= int(value) <= highest):
            raise SettingsError(f"{name} must be a whole number from {lowest} to {highest}, not {value!r}")
        return int(value)

    return read


def _one_of(*choices: str) -> Callable[[str, str], str]:
    def read(name: str, value: str) -> str:
        for choice in choices:
            if value.lower() == choice.lower():
                return choice
        raise SettingsError(f"{name} must be one of {', '.join(choices)}, not {value!r}")

    return read


def _flag(name: str, value: str) -> bool:
    return _one_of("true", "false")(name, value) == "true"


# The variable of each field is the field's name in upper case.
_READERS: dict[str, Callable[[str, str], object]] = {
    "OPENAI_BASE_URL": _base_url,
    "OPENAI_API_KEY": _header_text,
    "OPENAI_API_KEY_SECRET_ID": _text,
    "OPENAI_KEY_HEADER": _one_of("authorization", "api-key"),
    "OPENAI_API_VERSION": _api_version,
    "DEFAULT_MODEL": _text,
    "ALLOWED_MODELS": _names,
    "AUTH_MODE": _one_of("keys", "none"),
    "CALLER_KEYS": _caller_keys,
    "CONNECT_TIMEOUT_S": _seconds,
    "FIRST_BYTE_TIMEOUT_S": _seconds,
    "IDLE_TIMEOUT_S": _seconds,
    "UPSTREAM_RETRIES": _whole(0, 10),
    "KEEP_ALIVE_S": _seconds,
    "DEADLINE_RESERVE_S": _seconds,
    "MAX_BODY_BYTES": _whole(1, 6 * 1024 * 1024),
    "INCLUDE_USAGE": _flag,
    "TRANSCRIPT_FUNCTION_NAME": _text,
    "TRANSCRIPT_BUCKET": _text,
    "TRANSCRIPT_DEAD_LETTER_QUEUE_URL": _queue_url,
    "TRANSCRIPT_CONTENT": _one_of("full", "answer", "none"),
    # Not CRITICAL: it would silence the record of a transcript that could be sent nowhere.
    "LOG_LEVEL": _one_of("DEBUG", "INFO", "WARNING", "ERROR"),
}

SETTING_NAMES = frozenset(_READERS)
