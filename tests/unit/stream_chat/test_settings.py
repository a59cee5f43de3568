from __future__ import annotations

import dataclasses
import hashlib

import pytest

from settings import JWT_ALGORITHMS, OPENAI_URL, SETTING_NAMES, Settings
from settings_reading.readers import SettingsError

DIGEST = hashlib.sha256(b"web-key").hexdigest()
KEY = {"OPENAI_API_KEY": "sk-test"}


def read(**variables: str) -> Settings:
    return Settings.from_environment({**KEY, **variables})


def test_an_environment_with_only_the_key_yields_the_defaults() -> None:
    settings = read()
    assert vars(settings) == vars(Settings(openai_api_key="sk-test"))
    assert settings.auth_mode == "keys"
    assert settings.caller_keys == ()


def test_every_field_has_a_variable_and_every_variable_a_field() -> None:
    assert {field.name.upper() for field in dataclasses.fields(Settings)} == SETTING_NAMES


def test_an_empty_variable_keeps_the_default() -> None:
    assert vars(read(IDLE_TIMEOUT_S="", DEFAULT_MODEL=" ")) == vars(read())


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().auth_mode = "none"  # type: ignore[misc]


def test_values_are_converted_to_their_types() -> None:
    settings = read(
        OPENAI_BASE_URL="http://127.0.0.1:9/v1/",
        ALLOWED_MODELS="a, b ,",
        AUTH_MODE="KEYS",
        CALLER_KEYS=f"web:{DIGEST.upper()}, batch:{'0' * 64}",
        CONNECT_TIMEOUT_S="0.5",
        UPSTREAM_RETRIES="0",
        INCLUDE_USAGE="False",
        PLAYGROUND="true",
        TRANSCRIPT_CONTENT="Answer",
        LOG_LEVEL="debug",
    )
    assert settings.openai_base_url == "http://127.0.0.1:9/v1"
    assert settings.allowed_models == ("a", "b")
    assert settings.default_model == "a"
    assert settings.auth_mode == "keys"
    assert settings.caller_keys == (("web", DIGEST), ("batch", "0" * 64))
    assert settings.connect_timeout_s == 0.5
    assert settings.upstream_retries == 0
    assert settings.include_usage is False
    assert settings.playground is True
    assert settings.transcript_content == "answer"
    assert settings.log_level == "DEBUG"


TOKENS = {"JWT_ISSUER": "https://issuer.example", "JWT_AUDIENCES": "chat"}


@pytest.mark.parametrize(
    ("mode", "values", "unused"),
    [
        ("none", {"CALLER_KEYS": f"web:{DIGEST}"}, "CALLER_KEYS"),
        ("iam", {"CALLER_KEYS": f"web:{DIGEST}"}, "CALLER_KEYS"),
        ("jwt", {"CALLER_KEYS": f"web:{DIGEST}", **TOKENS}, "CALLER_KEYS"),
        ("none", {"JWT_ISSUER": TOKENS["JWT_ISSUER"]}, "JWT_ISSUER"),
        ("none", {"JWT_AUDIENCES": "chat"}, "JWT_AUDIENCES"),
        ("none", {"JWT_JWKS_URL": "https://issuer.example/keys"}, "JWT_JWKS_URL"),
    ],
)
def test_a_protection_without_effect_is_refused(mode: str, values: dict[str, str], unused: str) -> None:
    with pytest.raises(SettingsError, match=rf"{unused} .*AUTH_MODE={mode}"):
        read(AUTH_MODE=mode, **values)


def test_default_settings_of_other_modes_are_allowed() -> None:
    read(
        AUTH_MODE="none",
        JWT_AUDIENCE_CLAIM="aud",
        JWT_ALGORITHMS="RS256",
        JWT_CALLER_CLAIM="sub",
        JWT_LEEWAY_S="30",
    )


MALFORMED = {
    "OPENAI_BASE_URL": [
        "api.openai.com/v1",
        "ftp://api.openai.com",
        "https://user:word@host/v1",
        "https://api.openai.com/v1/chat/completions",
        "https://api.openai.com/v1/responses/",
        "http://h:99999/v1",
        "https://ex ample/v1",
        "https://h/v1\x01",
        "https://[bad",
        "https://@host/v1",
        "https://host/v1?",
        "https://host/v1#",
        "https://.host/v1",
        "https://ho..st/v1",
        f"https://{'h' * 64}.example/v1",
    ],
    "OPENAI_API_KEY": ["sk-\u00e9"],
    "OPENAI_KEY_HEADER": ["x-api-key"],
    "OPENAI_API_VERSION": ["2024-10-21&x=y"],
    "AUTH_MODE": ["open"],
    "CALLER_KEYS": ["web", "web:abc", f"web:{DIGEST},batch:{DIGEST}", ","],
    "JWT_ISSUER": [
        "http://issuer.example",
        "issuer.example",
        "https://[bad",
        "https://x:y",
        "https://issuer.example/?x=y",
    ],
    "INSECURE_UPSTREAM_HOSTS": [
        ",",
        "*",
        "*.internal",
        "http://vllm.internal",
        "vllm.internal:8000",
        "vllm.internal/v1",
    ],
    "ALLOWED_MODELS": [","],
    "FORBIDDEN_FIELDS": [" , ", "tools;service_tier"],
    "ALLOWED_FIELDS": [",", "top k"],
    "JWT_AUDIENCES": [","],
    "CALLER_LIMITS": [
        '{"arn:aws:sts::1:assumed-role/trial/*": {}}',
        '{"arn:aws:sts::1:federated-user/x": {}}',
        '{"web": {}, "web": {"tokens_per_day": 5}}',
        "web=5",
        "[]",
        '{"web": 5}',
        '{"web": {"tokens": 5}}',
        '{"web": {"models": []}}',
        '{"web": {"models": "m"}}',
        '{"web": {"tokens_per_day": true}}',
        '{"web": {"tokens_per_day": 0}}',
        '{"web": {"requests_per_minute": 1.5}}',
    ],
    "JWT_JWKS_URL": ["http://issuer.example/keys"],
    "JWT_AUDIENCE_CLAIM": ["scope"],
    "JWT_ALGORITHMS": ["HS256", ",", "RS256,none"],
    "JWT_LEEWAY_S": ["301"],
    "MAX_MESSAGES": ["0"],
    "CONTEXT_TOKENS": ["0"],
    "MAX_OUTPUT_TOKENS": ["-1"],
    "OUTPUT_TOKENS_FIELD": ["max_output_tokens"],
    "REQUESTS_PER_MINUTE": ["1e3"],
    "TOKENS_PER_DAY": ["9" * 19],
    "USD_PER_DAY": ["-1"],
    "USD_PER_MONTH": ["inf"],
    "UNPRICED_USD_PER_MILLION": ["0"],
    "LIMITS_UNREACHABLE": ["maybe"],
    "MODEL_PRICES": ["gpt-6-luna=1", '{"gpt-6-luna": {"input": 1}}'],
    "USAGE_COST": ["maybe"],
    "CONNECT_TIMEOUT_S": ["0"],
    "FIRST_BYTE_TIMEOUT_S": ["-1"],
    "IDLE_TIMEOUT_S": ["nan"],
    "KEEP_ALIVE_S": ["901"],
    "PRELUDE_GAP_MS": ["1001", "0.5"],
    "DEADLINE_RESERVE_S": ["soon"],
    "UPSTREAM_RETRIES": ["11", "1.5"],
    "MAX_BODY_BYTES": ["0"],
    "MAX_ANSWER_BYTES": ["1023"],
    "INCLUDE_USAGE": ["yes"],
    "PLAYGROUND": ["off"],
    "TRANSCRIPT_CONTENT": ["some"],
    "TRANSCRIPT_DEAD_LETTER_QUEUE_URL": ["undelivered"],
    "LOG_LEVEL": ["LOUD", "CRITICAL"],  # CRITICAL would suppress a transcript that is only in the log
    "METRICS": ["true"],
}
ANY_TEXT = {
    "CALLERS_TABLE_NAME", "DEFAULT_MODEL", "JWT_CALLER_CLAIM", "LIMITS_TABLE_NAME",
    "OPENAI_API_KEY_SECRET_ID", "TRANSCRIPT_BUCKET", "TRANSCRIPT_FUNCTION_NAME",
}  # fmt: skip


def test_every_setting_has_a_malformed_value_here_unless_it_takes_any_text() -> None:
    assert MALFORMED.keys() | ANY_TEXT == SETTING_NAMES


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_setting_is_refused_by_an_error_that_names_the_variable(name: str) -> None:
    for value in MALFORMED[name]:
        with pytest.raises(SettingsError, match=name):
            read(**{name: value})


@pytest.mark.parametrize(
    "variables",
    [
        {"CALLER_KEYS": "web:my-plain-key"},
        {"OPENAI_API_KEY": "sk-secret\r\nx: y"},
        {"AUTH_MODE": "sk-secret"},
    ],
)
def test_an_error_never_quotes_a_key(variables: dict[str, str]) -> None:
    with pytest.raises(SettingsError) as raised:
        read(**variables)
    assert "plain" not in str(raised.value)
    assert "secret" not in str(raised.value)


def test_openai_without_any_key_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY or OPENAI_API_KEY_SECRET_ID"):
        Settings.from_environment({})


def test_another_upstream_may_need_no_key() -> None:
    assert Settings.from_environment({"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1"}).openai_api_key == ""


def test_two_sources_for_the_key_are_refused() -> None:
    with pytest.raises(SettingsError, match="only one"):
        read(OPENAI_API_KEY_SECRET_ID="prod/openai")


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.openai.com/", "https://api.openai.com/v1"),
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("https://openrouter.ai/api/v1", "https://openrouter.ai/api/v1"),
        ("https://host.example./v1/@cf", "https://host.example./v1/@cf"),
        (f"https://{'h' * 63}.example/v1", f"https://{'h' * 63}.example/v1"),
        ("https://xn--bcher-kva.example/v1", "https://xn--bcher-kva.example/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        (
            "https://x.openai.azure.com/openai/deployments/d",
            "https://x.openai.azure.com/openai/deployments/d",
        ),
    ],
)
def test_a_base_url_without_a_path_may_omit_v1(given: str, meant: str) -> None:
    assert read(OPENAI_BASE_URL=given).openai_base_url == meant


@pytest.mark.parametrize("url", ["https://b\u00fccher.example/v1", "https://host/\u00e9/v1"])
def test_a_base_url_that_is_not_ascii_is_refused_with_advice(url: str) -> None:
    with pytest.raises(
        SettingsError, match=r"^OPENAI_BASE_URL must be ASCII: the host as xn--.*percent-encoded$"
    ):
        read(OPENAI_BASE_URL=url)


def test_openai_without_v1_needs_a_key_as_well() -> None:
    with pytest.raises(SettingsError, match="OPENAI_API_KEY"):
        Settings.from_environment({"OPENAI_BASE_URL": "https://api.openai.com"})


def test_the_default_upstream_is_openai() -> None:
    assert read().openai_base_url == OPENAI_URL


def test_a_default_model_that_is_not_allowed_is_refused_at_start() -> None:
    with pytest.raises(SettingsError, match="DEFAULT_MODEL"):
        read(ALLOWED_MODELS="a,b", DEFAULT_MODEL="c")
    assert read(ALLOWED_MODELS="a,b", DEFAULT_MODEL="b").default_model == "b"


def test_the_upstreams_key_is_not_in_the_repr_of_the_settings() -> None:
    assert "sk-test" not in repr(read())


def test_a_caller_may_have_two_keys() -> None:
    keys = read(CALLER_KEYS=f"web:{DIGEST},web:{'0' * 64}").caller_keys
    assert keys == (("web", DIGEST), ("web", "0" * 64))


@pytest.mark.parametrize("missing", ["JWT_ISSUER", "JWT_AUDIENCES"])
def test_tokens_need_an_issuer_and_an_audience(missing: str) -> None:
    both = {"JWT_ISSUER": "https://issuer.example/", "JWT_AUDIENCES": "relay, other"}
    settings = read(AUTH_MODE="jwt", **both)
    assert (settings.jwt_issuer, settings.jwt_audiences) == ("https://issuer.example/", ("relay", "other"))
    with pytest.raises(SettingsError, match=missing):
        read(AUTH_MODE="jwt", **{name: value for name, value in both.items() if name != missing})


def test_an_issuer_on_this_machine_needs_no_tls() -> None:
    assert read(JWT_ISSUER="http://127.0.0.1:9/x").jwt_issuer == "http://127.0.0.1:9/x"


def test_the_url_of_an_issuers_keys_may_have_a_query() -> None:
    url = "https://x.b2clogin.com/x/discovery/v2.0/keys?p=b2c_1_signin"
    assert read(JWT_JWKS_URL=url).jwt_jwks_url == url


def test_no_signature_that_a_verifier_could_make_is_allowed() -> None:
    assert not [name for name in JWT_ALGORITHMS if name.startswith("HS") or name == "none"]


def test_allowed_models_of_only_patterns_need_a_matching_default_model() -> None:
    assert read(ALLOWED_MODELS="gpt-6*").default_model == "gpt-6-luna"
    with pytest.raises(SettingsError, match="DEFAULT_MODEL"):
        read(ALLOWED_MODELS="llama*")


URL_NAMES = ["OPENAI_BASE_URL", "JWT_ISSUER", "JWT_JWKS_URL"]
HERE = ["127.0.0.1", "127.8.9.10", "[::1]", "localhost", "LocalHost", "localhost.", "vllm.localhost"]


@pytest.mark.parametrize("name", URL_NAMES)
def test_http_is_allowed_for_this_machine(name: str) -> None:
    for host in HERE:
        url = f"http://{host}:8000/v1"
        assert getattr(read(**{name: url}), name.lower()) == url


ELSEWHERE = [
    "api.openai.com", "10.0.0.1", "169.254.169.254", "0.0.0.0", "[fd00::1]", "[::]", "[::ffff:127.0.0.1]",
    "[::1%25lo]", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "127.0.0.1.nip.io", "127.0.0.1.",
    "localhost.example.com", "notlocalhost", "localhost..", "128.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("name", URL_NAMES)
@pytest.mark.parametrize("scheme", ["http", "HTTP"])
def test_http_is_refused_for_other_machines(scheme: str, name: str) -> None:
    for host in ELSEWHERE:
        with pytest.raises(SettingsError, match=name):
            read(**{name: f"{scheme}://{host}/v1"})


@pytest.mark.parametrize("key", [{}, KEY, {"OPENAI_API_KEY_SECRET_ID": "s"}])
def test_an_upstream_over_http_is_refused_by_an_error_that_names_the_setting(key: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match=r"^OPENAI_BASE_URL .* vllm\.internal.* INSECURE_UPSTREAM_HOSTS$"):
        Settings.from_environment({**key, "OPENAI_BASE_URL": "http://vllm.internal:8000/v1"})


@pytest.mark.parametrize(
    ("hosts", "url", "is_taken"),
    [
        ("vllm.internal", "http://vllm.internal:8000/v1", True),
        ("other, VLLM.internal", "http://Vllm.Internal/v1", True),
        ("10.0.0.1,fd00::1", "http://10.0.0.1/v1", True),
        ("10.0.0.1,FD00::1", "http://[fd00::1]:80/v1", True),
        ("internal", "http://vllm.internal/v1", False),
        ("vllm.internal", "http://a.vllm.internal/v1", False),
        ("vllm.internal", "http://vllm.internal.example.com/v1", False),
        ("10.0.0.1", "http://10.0.0.11/v1", False),
        ("vllm.internal", "https://other.example/v1", True),
    ],
)
def test_an_upstream_over_http_is_allowed_if_its_exact_host_is_named(
    hosts: str, url: str, is_taken: bool
) -> None:
    if is_taken:
        assert read(INSECURE_UPSTREAM_HOSTS=hosts, OPENAI_BASE_URL=url).openai_base_url == url
    else:
        with pytest.raises(SettingsError, match="INSECURE_UPSTREAM_HOSTS"):
            read(INSECURE_UPSTREAM_HOSTS=hosts, OPENAI_BASE_URL=url)
