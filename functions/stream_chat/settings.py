"""The streaming function's settings, read from the environment and checked before the first request."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from chat_stream.memory_bound import MAX_ANSWER_BYTES
from settings_reading import readers as read
from settings_reading.readers import SettingsError
from settings_reading.wildcards import matches_any

if TYPE_CHECKING:
    from chat_stream.transcripts.content import TranscriptContent

Value = TypeVar("Value")

OPENAI_URL = "https://api.openai.com/v1"
HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]*:[0-9a-f:.]*")  # a name or an address, IPv6 without brackets
API_VERSION = re.compile(r"[A-Za-z0-9._-]{1,64}")  # 2024-10-21, 2025-04-01-preview, preview
CALLER_KEY = re.compile(r"(?P<name>[A-Za-z0-9_.-]{1,64}):(?P<sha256>[0-9a-fA-F]{64})")

# Signatures made with a private key. With HS256 and the like, anyone who can verify a token can make one.
JWT_ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
)  # fmt: skip

FIELD_PATTERN = re.compile(r"[A-Za-z0-9_.:/*-]+")  # openrouter:web_search is a kind of tool


def _base_url(name: str, value: str) -> str:
    """The base URL of the API. A URL without a path gets `/v1`, where nearly every server has the API."""
    parts = read.url_parts(name, value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"{name} must be an absolute http(s) URL such as {OPENAI_URL}")
    if "@" in parts.netloc or "?" in value or "#" in value:
        raise SettingsError(f"{name} must have no user, password, query or fragment")
    if not value.isascii():
        raise SettingsError(f"{name} must be ASCII: the host as xn--… (punycode), the path percent-encoded")
    if not all(0 < len(label) < 64 for label in parts.hostname.removesuffix(".").split(".")):
        raise SettingsError(f"{name} must name a host whose labels between the dots have 1 to 63 characters")
    url = value.rstrip("/")
    if url.endswith(("/chat/completions", "/responses")):
        raise SettingsError(f"{name} must be the base URL, such as {OPENAI_URL}, without the endpoint's path")
    return url if parts.path.strip("/") else f"{url}/v1"


def _host_names(name: str, value: str) -> tuple[str, ...]:
    hosts = read.names(name, value.lower())
    for host in hosts:
        if HOST.fullmatch(host) is None:
            raise SettingsError(
                f"{name} must be a comma-separated list of host names, without scheme, port or path"
            )
    return hosts


def _queue_url(name: str, value: str) -> str:
    if not value.startswith(("https://", "http://")):
        raise SettingsError(f"{name} must be the URL of an SQS queue, not {value!r}")
    return value


def _caller_keys(name: str, value: str) -> tuple[tuple[str, str], ...]:
    """During rotation a name may have two keys; a key belongs to one name."""
    keys: list[tuple[str, str]] = []
    for position, pair in enumerate(read.names(name, value), start=1):
        match = CALLER_KEY.fullmatch(pair)
        if match is None:  # not quoted: the entry may be a key in plain text
            raise SettingsError(
                f"{name}: entry {position} must be name:sha256, the SHA-256 of the key as 64 hex digits"
            )
        sha256 = match["sha256"].lower()
        if any(sha256 == known for _, known in keys):
            raise SettingsError(f"{name}: entry {position} repeats the key of an earlier entry")
        keys.append((match["name"], sha256))
    return tuple(keys)


def _caller_limits(name: str, value: str) -> tuple[tuple[str, Mapping[str, Any]], ...]:
    from settings_reading.caller_limits import caller_limits  # only where the setting is used

    return caller_limits(name, value)


def _model_prices(name: str, value: str) -> Mapping[str, Any]:
    from pricing.own_prices import model_prices  # only where the setting is used

    return model_prices(name, value)


def _field_names(name: str, value: str) -> tuple[str, ...]:
    patterns = read.names(name, value)
    for pattern in patterns:
        if FIELD_PATTERN.fullmatch(pattern) is None:
            raise SettingsError(
                f"{name} must be a comma-separated list of field names; {pattern!r} is not one"
            )
    return tuple(pattern.casefold() for pattern in patterns)  # the form in which requests are checked


def _setting(default: Value, reader: Callable[[str, str], Value]) -> Value:
    """A field of Settings. Its variable, which `reader` reads, is the field's name in upper case."""
    return field(default=default, metadata={"reader": reader})


# Without __eq__ and __repr__, which take a hundredth of a cold start to make, and which would show the key.
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Settings:
    """Everything that a deployment can decide about the streaming function."""

    openai_base_url: str = _setting(OPENAI_URL, _base_url)
    # In lower case. Http to these is allowed although they are not this machine.
    insecure_upstream_hosts: tuple[str, ...] = _setting((), _host_names)
    openai_api_key: str = _setting("", read.header_text)
    openai_api_key_secret_id: str = _setting("", read.text)
    # `api-key` is for Azure OpenAI.
    openai_key_header: str = _setting("authorization", read.one_of("authorization", "api-key"))
    # Azure OpenAI's query parameter `api-version`; empty: none.
    openai_api_version: str = _setting("", read.matching(API_VERSION, "a version such as 2024-10-21"))
    default_model: str = _setting("gpt-6-luna", read.text)
    # Names, or patterns with `*`; empty: every model.
    allowed_models: tuple[str, ...] = _setting((), read.names)
    auth_mode: str = _setting("keys", read.one_of("keys", "jwt", "iam", "none"))
    # (name, SHA-256 of the key in lower-case hex) of each caller.
    caller_keys: tuple[tuple[str, str], ...] = _setting((), _caller_keys)
    # The table has more callers, who can change while the function runs.
    callers_table_name: str = _setting("", read.text)
    jwt_issuer: str = _setting("", read.secure_url)
    jwt_audiences: tuple[str, ...] = _setting((), read.names)
    jwt_audience_claim: str = _setting("aud", read.one_of("aud", "client_id", "azp"))
    # Empty: the issuer's discovery document names it. Some URLs of Azure AD B2C have a query.
    jwt_jwks_url: str = _setting("", partial(read.secure_url, takes_query=True))
    jwt_algorithms: tuple[str, ...] = _setting(("RS256",), read.some_of(*JWT_ALGORITHMS))
    jwt_caller_claim: str = _setting("sub", read.text)
    jwt_leeway_s: int = _setting(30, read.integer(0, 300))
    max_messages: int = _setting(2048, read.integer(1, 1_000_000))  # what OpenAI takes
    max_output_tokens: int | None = _setting(None, read.limit)
    output_tokens_field: str = _setting(
        "max_completion_tokens", read.one_of("max_completion_tokens", "max_tokens")
    )
    forbidden_fields: tuple[str, ...] = _setting((), _field_names)  # names, or patterns with `*`
    # Likewise: fields that are not OpenAI's and are allowed although something is limited.
    allowed_fields: tuple[str, ...] = _setting((), _field_names)
    # The largest window of OpenAI's models in 2026; Google's have 1,048,576.
    context_tokens: int = _setting(1_050_000, read.integer(1, read.HIGHEST_LIMIT))
    requests_per_minute: int | None = _setting(None, read.limit)
    tokens_per_day: int | None = _setting(None, read.limit)
    usd_per_day: float | None = _setting(None, read.usd_limit)
    usd_per_month: float | None = _setting(None, read.usd_limit)
    # What tokens without a known price count; None: they are refused under a budget.
    unpriced_usd_per_million: float | None = _setting(None, read.usd)
    # (name or pattern, fields to replace) of each entry.
    caller_limits: tuple[tuple[str, Mapping[str, Any]], ...] = _setting((), _caller_limits)
    limits_table_name: str = _setting("", read.text)
    limits_unreachable: str = _setting("refuse", read.one_of("refuse", "admit"))
    connect_timeout_s: float = _setting(5.0, read.seconds)
    first_byte_timeout_s: float = _setting(60.0, read.seconds)
    idle_timeout_s: float = _setting(60.0, read.seconds)
    upstream_retries: int = _setting(2, read.integer(0, 10))
    # Platforms and proxies in between close connections that are silent for longer.
    keep_alive_s: float = _setting(15.0, read.seconds)
    # Between an answer's headers and its first byte, for accounts that hold it back.
    prelude_gap_ms: int = _setting(0, read.integer(0, 1000))
    # Reserved from the function's timeout for the error and the hand-off.
    deadline_reserve_s: float = _setting(3.0, read.seconds)
    # What Lambda accepts as a request.
    max_body_bytes: int = _setting(6 * 1024 * 1024, read.integer(1, 6 * 1024 * 1024))
    # What is kept of an answer, and processed after the deadline, is a small multiple of this.
    max_answer_bytes: int = _setting(MAX_ANSWER_BYTES, read.integer(1024, 2 * MAX_ANSWER_BYTES))
    include_usage: bool = _setting(True, read.flag)
    # As pricing.own_prices has checked it.
    model_prices: Mapping[str, Any] | None = _setting(None, _model_prices)
    usage_cost: bool = _setting(False, read.flag)  # whether callers see the cost in the usage
    transcript_function_name: str = _setting("", read.text)  # empty: nothing is handed off
    # For transcripts that are larger than an invocation takes.
    transcript_bucket: str = _setting("", read.text)
    # For transcripts with which the companion could not be invoked.
    transcript_dead_letter_queue_url: str = _setting("", _queue_url)
    transcript_content: TranscriptContent = _setting(  # noqa: RUF009 - makes a field, as for the others
        "full", read.one_of("full", "answer", "none")
    )
    playground: bool = _setting(False, read.flag)  # whether GET / serves a page for trying the function
    # Not CRITICAL: it would suppress the record of a transcript that could not be sent anywhere.
    log_level: str = _setting("INFO", read.one_of("DEBUG", "INFO", "WARNING", "ERROR"))
    # `per-caller` costs a set of metrics for each caller.
    metrics: str = _setting("off", read.one_of("off", "on", "per-caller"))

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Settings from environment variables; a variable that is absent or empty keeps its default.

        SETTINGS_JSON may hold any of them.

        Raises:
            SettingsError: a variable is invalid; the message names it and says what it should hold.
        """
        environ = with_settings_json(environ)
        values = {
            each.name: each.metadata["reader"](name, text)
            for each in fields(cls)
            if (text := environ.get(name := each.name.upper(), "").strip())
        }
        settings = cls(**values)
        if "default_model" not in values:
            settings = settings._with_first_model()
        settings._check_key()
        settings._check_transport()
        settings._check_default_model()
        settings._check_callers()
        settings._check_prices()
        return settings

    def for_caller(self, caller: str) -> Settings:
        """The settings with the caller's own limits in place of the general ones.

        An entry of CALLER_LIMITS with the caller's exact name takes precedence over patterns; of the patterns
        the first match counts.
        """
        own = dict(self.caller_limits).get(caller)
        if own is None:
            own = next(
                (fields for pattern, fields in self.caller_limits if matches_any(caller, [pattern])), None
            )
        if not own:
            return self
        settings = replace(self, **own)
        return settings if settings.allows_model(settings.default_model) else settings._with_first_model()

    @property
    def counted_limits(self) -> tuple[float | None, ...]:
        """What the requests of this caller are counted for; None for no limit."""
        return (self.requests_per_minute, self.tokens_per_day, self.usd_per_day, self.usd_per_month)

    @property
    def keeps_limits(self) -> bool:
        """Whether requests, tokens or money are counted for any caller."""
        return any(any(settings.counted_limits) for settings in self._of_all_callers())

    @property
    def keeps_budgets(self) -> bool:
        """Whether any caller has a budget in money."""
        return any(settings.usd_per_day or settings.usd_per_month for settings in self._of_all_callers())

    def _of_all_callers(self) -> Iterator[Settings]:
        yield self
        yield from (replace(self, **limits) for _, limits in self.caller_limits)

    @property
    def limits_requests(self) -> bool:
        """Whether anything in a request is limited, so that unknown fields must not pass."""
        limits = (self.allowed_models, self.forbidden_fields, self.max_output_tokens)
        return any((*limits, *self.counted_limits))

    def allows_model(self, model: str) -> bool:
        """Whether ALLOWED_MODELS allows the model."""
        return not self.allowed_models or matches_any(model, self.allowed_models)

    def _with_first_model(self) -> Settings:
        """With the first name in ALLOWED_MODELS that is not a pattern, if any, as the default model."""
        named = [model for model in self.allowed_models if "*" not in model]
        return replace(self, default_model=named[0]) if named else self

    def _check_default_model(self) -> None:
        if not self.allows_model(self.default_model):
            raise SettingsError("DEFAULT_MODEL must be one of ALLOWED_MODELS")

    def _check_callers(self) -> None:
        if self.auth_mode == "jwt" and not (self.jwt_issuer and self.jwt_audiences):
            raise SettingsError("AUTH_MODE=jwt needs JWT_ISSUER and JWT_AUDIENCES")
        # A configured protection must have an effect: its operators rely on it.
        is_open = self.auth_mode == "none"
        for name, is_unused in (
            ("CALLER_KEYS", self.caller_keys and self.auth_mode != "keys"),
            ("JWT_ISSUER", self.jwt_issuer and is_open),
            ("JWT_AUDIENCES", self.jwt_audiences and is_open),
            ("JWT_JWKS_URL", self.jwt_jwks_url and is_open),
        ):
            if is_unused:
                with_mode = f"AUTH_MODE={self.auth_mode}"
                raise SettingsError(f"{name} protects nothing with {with_mode}: remove one of the two")
        if self.keeps_limits and not self.limits_table_name:
            raise SettingsError(
                "REQUESTS_PER_MINUTE, TOKENS_PER_DAY, USD_PER_DAY and USD_PER_MONTH, also in CALLER_LIMITS,"
                " need LIMITS_TABLE_NAME"
            )

    def _check_prices(self) -> None:
        if self.unpriced_usd_per_million is not None or not self.keeps_budgets:
            return
        from pricing.price_file import prices_of  # only where there is a budget in money

        if not prices_of(self.openai_base_url, self.model_prices):
            raise SettingsError(
                "USD_PER_DAY and USD_PER_MONTH, also in CALLER_LIMITS, need prices, and there are no list"
                " prices for OPENAI_BASE_URL: set MODEL_PRICES or UNPRICED_USD_PER_MILLION"
            )

    def _check_key(self) -> None:
        if self.openai_api_key and self.openai_api_key_secret_id:
            raise SettingsError(
                "OPENAI_API_KEY and OPENAI_API_KEY_SECRET_ID are both set: set only one of them"
            )
        if self.openai_base_url == OPENAI_URL and not (self.openai_api_key or self.openai_api_key_secret_id):
            raise SettingsError(f"OPENAI_API_KEY or OPENAI_API_KEY_SECRET_ID must be set to use {OPENAI_URL}")

    def _check_transport(self) -> None:
        parts = urlsplit(self.openai_base_url)
        host = parts.hostname or ""
        if parts.scheme == "http" and not (
            read.is_this_machine(host) or host in self.insecure_upstream_hosts
        ):
            raise SettingsError(
                "OPENAI_BASE_URL must be an https URL: http sends the key and the prompts unencrypted."
                f" If no one can read the traffic to {host}, name it in INSECURE_UPSTREAM_HOSTS"
            )


def with_settings_json(environ: Mapping[str, str]) -> Mapping[str, str]:
    """The environment with the settings that SETTINGS_JSON holds in place of it. Raises SettingsError."""
    if not environ.get("SETTINGS_JSON", "").strip():
        return environ
    from settings_reading.settings_json import expanded

    types = {name: _json_type(getattr(Settings, name.lower())) for name in SETTING_NAMES}
    return expanded(environ, types | {"CALLER_LIMITS": dict, "MODEL_PRICES": dict})


def _json_type(default: object) -> type:
    """The JSON type of a setting with this default."""
    match default:
        case bool() | str():
            return type(default)
        case int() | float() | None:
            return float
    return list


SETTING_NAMES = frozenset(each.name.upper() for each in fields(Settings))
VARIABLE_NAMES = SETTING_NAMES | {"SETTINGS_JSON"}  # which holds any of them
