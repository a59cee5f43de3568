from __future__ import annotations

import pytest

from upstream.body.kind import kind_of_body

SSE = "text/event-stream; charset=utf-8"


@pytest.mark.parametrize(
    ("head", "content_type", "kind"),
    [
        (b"data: {}", SSE, "events"),
        (b": queued", "text/plain", "events"),
        (b"\xef\xbb\xbf\r\nevent: x", "", "events"),
        (b"anything", SSE, "events"),
        (b"i", SSE, "events"),
        (b' {"id"', SSE, "document"),
        (b"{", "text/plain", "document"),
        (b"\n<html>", SSE, "other"),
        (b"Service unavailable", "text/plain", "other"),
        (b"[1]xyz", "application/json", "other"),
    ],
)
def test_the_first_bytes_show_the_kind_of_a_body(head: bytes, content_type: str, kind: str) -> None:
    assert kind_of_body(head, content_type, is_whole=False) == kind


@pytest.mark.parametrize("head", [b"", b"\n\n", b"\xef\xbb\xbf", b"d", b"dat", b"ev", b"no"])
def test_too_little_is_undecided(head: bytes) -> None:
    assert kind_of_body(head, "text/plain", is_whole=False) is None


@pytest.mark.parametrize(("head", "kind"), [(b"no", "other"), (b"id", "events"), (b" \n", None)])
def test_a_whole_body_always_has_a_kind_unless_it_is_blank(head: bytes, kind: str | None) -> None:
    assert kind_of_body(head, "text/plain", is_whole=True) == kind
