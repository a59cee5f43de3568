"""The options of `make probe`, and what it says about wrong ones."""

from __future__ import annotations

import pytest

from local.probe.options import ProbeOptions, ProbeOptionsError

URL = "https://abc.lambda-url.eu-central-1.on.aws/"


def read(**environ: str) -> ProbeOptions:
    return ProbeOptions.from_environment(environ)


def test_a_key_is_used_as_one_and_shown_nowhere() -> None:
    options = read(URL=URL, KEY=" the-key\n")
    assert (options.url, options.auth, options.key) == (URL.rstrip("/"), "key", "the-key")
    assert "the-key" not in repr(options)
    assert not options.is_local


@pytest.mark.parametrize("url", ["http://127.0.0.1:3000/v1", "http://localhost:3000", "http://[::1]:3000/"])
def test_a_relay_on_this_machine_needs_neither_https_nor_a_key(url: str) -> None:
    options = read(URL=url)
    assert options.is_local
    assert options.auth == "none"
    assert not options.url.endswith(("/", "/v1"))


@pytest.mark.parametrize(
    ("environ", "word"),
    [
        ({}, "URL must be"),
        ({"URL": "127.0.0.1:3000"}, "absolute"),
        ({"URL": "https://host:port"}, "cannot be read"),
        ({"URL": "https://key@host"}, "no user"),
        ({"URL": "https://host/?key=1"}, "without a query"),
        ({"URL": "http://relay.example", "KEY": "k"}, "https"),
        ({"URL": URL, "KEY": "ключ"}, "KEY must be printable ASCII"),
        ({"URL": URL, "AUTH": "basic"}, "AUTH must be one of"),
        ({"URL": URL, "AUTH": "key"}, "needs KEY"),
        ({"URL": URL, "AUTH": "iam", "KEY": "k"}, "needs AUTH=key"),
        ({"URL": URL, "SLOW": "maybe"}, "SLOW must be"),
    ],
)
def test_an_unusable_option_is_named(environ: dict[str, str], word: str) -> None:
    with pytest.raises(ProbeOptionsError, match=word) as raised:
        read(**environ)
    assert "ключ" not in str(raised.value)


def test_flags_are_read() -> None:
    options = read(URL=URL, SLOW="1", RESPONSES="0")
    assert (options.slow, options.responses) == (True, False)
    assert (read(URL=URL).slow, read(URL=URL).responses) == (None, True)
