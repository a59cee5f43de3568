"""The choice of the proxy, which follows httpx: many users know these variables from it."""

from __future__ import annotations

import os
from base64 import b64encode

import pytest

from upstream.proxy import proxy_for

UPSTREAM = "https://api.example.com/v1"


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


def found(monkeypatch: pytest.MonkeyPatch, url: str = UPSTREAM, **variables: str) -> str | None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    proxy = proxy_for(url)
    return None if proxy is None else str(proxy.url)


def test_without_a_variable_the_connection_is_direct() -> None:
    assert proxy_for(UPSTREAM) is None


@pytest.mark.parametrize("name", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_for_https_is_found(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    assert found(monkeypatch, **{name: "http://proxy:3128"}) == "http://proxy:3128"


def test_a_proxy_applies_to_its_own_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, HTTP_PROXY="http://proxy:3128") is None
    assert found(monkeypatch, "http://api.example.com/v1") == "http://proxy:3128"
    assert found(monkeypatch, ALL_PROXY="http://other:1") == "http://other:1"
    assert found(monkeypatch, "http://api.example.com/v1") == "http://proxy:3128"


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("proxy:3128", "http://proxy:3128"),
        ("proxy", "http://proxy"),
        ("http://proxy:3128/", "http://proxy:3128"),
        ("https://proxy", "https://proxy"),
        ("HTTP://proxy:3128", "http://proxy:3128"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("http://@proxy:3128", "http://proxy:3128"),
    ],
)
def test_a_proxy_may_be_written_in_many_ways(monkeypatch: pytest.MonkeyPatch, value: str, url: str) -> None:
    assert found(monkeypatch, HTTPS_PROXY=value) == url


@pytest.mark.parametrize(
    ("credentials", "meant"),
    [
        ("user:word", (b"user", b"word")),
        ("user", (b"user", b"")),
        (":word", (b"", b"word")),
        ("us%40er:p%3A%2Fss", (b"us@er", b"p:/ss")),
        ("user:p@ss", (b"user", b"p@ss")),
        ("J%C3%BCrgen:%FF", ("J\u00fcrgen".encode(), b"\xff")),
    ],
)
def test_credentials_move_from_the_url_into_a_header(
    monkeypatch: pytest.MonkeyPatch, credentials: str, meant: tuple[bytes, bytes]
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", f"http://{credentials}@proxy:3128")
    proxy = proxy_for(UPSTREAM)
    assert proxy is not None
    assert proxy.url == "http://proxy:3128"
    assert proxy.headers["proxy-authorization"] == "Basic " + b64encode(b":".join(meant)).decode()


@pytest.mark.parametrize(
    ("no_proxy", "is_direct"),
    [
        ("api.example.com", True),
        ("example.com", True),
        (".example.com", True),
        ("API.Example.COM", True),
        ("localhost, example.com ,", True),
        ("*", True),
        ("localhost,*", True),
        ("api.example.com:443", True),
        ("example.com:443", True),
        ("api.example.com:8443", False),
        ("ample.com", False),
        ("other.example.com", False),
        ("com.example", False),
        ("", False),
        (",", False),
    ],
)
def test_no_proxy_names_hosts_and_domains(
    monkeypatch: pytest.MonkeyPatch, no_proxy: str, is_direct: bool
) -> None:
    proxy = found(monkeypatch, HTTPS_PROXY="http://proxy:3128", NO_PROXY=no_proxy)
    assert (proxy is None) == is_direct


@pytest.mark.parametrize(
    ("url", "no_proxy", "is_direct"),
    [
        ("http://127.0.0.1:8080/v1", "127.0.0.1", True),
        ("http://127.0.0.1:8080/v1", "127.0.0.1:8080", True),
        ("http://127.0.0.1:8080/v1", "127.0.0.1:80", False),
        ("http://127.0.0.1:8080/v1", "localhost", False),
        ("http://localhost:8080/v1", "localhost", True),
        ("http://[::1]:8080/v1", "::1", True),
    ],
)
def test_no_proxy_names_addresses_and_ports(
    monkeypatch: pytest.MonkeyPatch, url: str, no_proxy: str, is_direct: bool
) -> None:
    proxy = found(monkeypatch, url, HTTP_PROXY="http://proxy:3128", NO_PROXY=no_proxy)
    assert (proxy is None) == is_direct


@pytest.mark.parametrize(
    "value",
    [
        "socks5://user:secret@proxy:1080", "http://", "http://user:secret@",
        "http://user:sec/ret@proxy:3128", "http://user:secret@proxy:port", "http://user:secret@proxy:0",
        "http://user:secret@proxy:99999", "http://user:secret@[proxy", "http://user:secret@1.2.3.999:3128",
        "http://user:secret@pr\u00f6xy:3128", "http://user:s\u00e9cret@proxy:3128",
    ],
)  # fmt: skip
def test_an_unusable_proxy_is_an_error_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    with pytest.raises(ValueError, match="HTTPS_PROXY") as raised:
        found(monkeypatch, HTTPS_PROXY=value)
    for word in ("sec", "cret", "user"):
        assert word not in str(raised.value)
    assert raised.value.__suppress_context__


def test_an_empty_variable_in_lower_case_overrides_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, HTTPS_PROXY="http://proxy:3128", https_proxy="") is None
