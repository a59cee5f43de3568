"""The prelude of answers on the Runtime API."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.function_url.prelude import (
    DELIMITER,
    MAX_PRELUDE_BYTES,
    InvalidPreludeError,
    Prelude,
    parse_prelude,
    split_prelude,
)

DOCUMENT = {"statusCode": 201, "headers": {"X-A": "b", "x-n": 1}, "cookies": ["c=d"]}
PRELUDE = Prelude(201, (("X-A", "b"), ("x-n", "1")), ("c=d",))


@given(st.binary(max_size=30), st.lists(st.integers(1, 5), max_size=60))
def test_prelude_and_body_are_the_same_however_the_bytes_are_split(body: bytes, sizes: list[int]) -> None:
    data = json.dumps(DOCUMENT).encode() + DELIMITER + body
    end, found = 0, None
    for size in [*sizes, len(data)]:
        end += size
        found = split_prelude(data[:end])
        assert (found is None) == (end < len(data) - len(body))
    assert found == (PRELUDE, body)


def test_an_empty_object_is_a_200() -> None:
    assert parse_prelude(b"{}") == Prelude(200, (), ())


def test_a_prelude_without_an_end_is_refused() -> None:
    data = b"{" + b" " * (MAX_PRELUDE_BYTES + 8)
    assert split_prelude(data[: MAX_PRELUDE_BYTES + 7]) is None
    with pytest.raises(InvalidPreludeError, match="no delimiter"):
        split_prelude(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a JSON object"),
        (b'{"statusCode": "200"}', "statusCode"),
        (b'{"statusCode": true}', "statusCode"),
        (b'{"statusCode": 101}', "statusCode"),
        (b'{"headers": ["a"]}', "headers"),
        (b'{"headers": {"a": "b\\r\\nc: d"}}', "one line"),
        (b'{"headers": {"a b": "c"}}', "not a header name"),
        (b'{"headers": {"a": null}}', "one line"),
        (b'{"cookies": "a=b"}', "cookies"),
        (b'{"cookies": ["a=b\\n"]}', "one line"),
    ],
)
def test_an_invalid_prelude_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidPreludeError, match=reason):
        parse_prelude(data)
