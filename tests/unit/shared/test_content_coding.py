from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Callable, Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from content_coding import MAX_PIECE_BYTES, MalformedCompressionError, inflated

TEXT = b"data: {}\n\n" * 30 + bytes(range(256))


def raw_deflate(data: bytes) -> bytes:
    return zlib.compress(data, wbits=-zlib.MAX_WBITS)


FORMS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
]
every_form = pytest.mark.parametrize(("encoding", "compressed"), FORMS)


def pieces_of(data: bytes, size: int) -> list[bytes]:
    return [data[at : at + size] for at in range(0, len(data), size)]


def whole(pieces: Iterable[bytes], encoding: str) -> bytes:
    return b"".join(inflated(pieces, encoding))


@every_form
@given(data=st.binary(max_size=200) | st.just(TEXT), size=st.integers(1, 300))
def test_what_was_compressed_comes_back_from_any_pieces(
    encoding: str, compressed: Callable[[bytes], bytes], data: bytes, size: int
) -> None:
    assert whole(pieces_of(compressed(data), size), encoding) == data


@every_form
@pytest.mark.parametrize("spare", [-1, 0, 1])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_body_that_fills_a_piece_comes_back_whole(
    encoding: str, compressed: Callable[[bytes], bytes], spare: int, size: int
) -> None:
    for data in (b"x" * (MAX_PIECE_BYTES + spare), b"x" * (3 * MAX_PIECE_BYTES + spare)):
        assert whole(pieces_of(compressed(data), size), encoding) == data


@every_form
@given(data=st.data())
def test_a_body_that_ends_too_early_is_an_error_behind_what_has_come(
    encoding: str, compressed: Callable[[bytes], bytes], data: st.DataObject
) -> None:
    wire = compressed(TEXT)
    got: list[bytes] = []
    at = data.draw(st.integers(1, len(wire) - 1))
    with pytest.raises(MalformedCompressionError, match="too early"):
        got.extend(inflated([wire[:at]], encoding))
    assert TEXT.startswith(b"".join(got))


@every_form
def test_no_body_at_all_is_an_empty_one(encoding: str, compressed: Callable[[bytes], bytes]) -> None:
    assert whole([], encoding) == b""
    assert whole([b""], encoding) == b""


@every_form
def test_what_is_flushed_is_given_before_the_next_piece_is_asked_for(
    encoding: str, compressed: Callable[[bytes], bytes]
) -> None:
    wbits = {gzip.compress: 31, zlib.compress: 15, raw_deflate: -15}[compressed]
    packer = zlib.compressobj(wbits=wbits)
    asked: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for event in (b"data: a\n\n", b"data: b\n\n"):
            asked.append(event)
            yield packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
        yield packer.flush()

    body = inflated(pieces(), encoding)
    assert (next(body), asked) == (b"data: a\n\n", [b"data: a\n\n"])
    assert b"".join(body) == b"data: b\n\n"


@pytest.mark.parametrize("size", [1, 3, 10, 100_000])
def test_gzip_members_behind_each_other_are_one_body(size: int) -> None:
    wire = gzip.compress(b"Hel") + gzip.compress(b"") + gzip.compress(b"lo")
    assert whole(pieces_of(wire, size), "gzip") == b"Hello"


def test_a_second_member_that_ends_too_early_is_an_error() -> None:
    with pytest.raises(MalformedCompressionError, match="too early"):
        whole([gzip.compress(b"Hel") + gzip.compress(b"lo")[:-1]], "gzip")


@every_form
@pytest.mark.parametrize("size", [1, 100_000])
def test_garbage_behind_the_end_is_an_error_and_not_kept_in_memory(
    encoding: str, compressed: Callable[[bytes], bytes], size: int
) -> None:
    got: list[bytes] = []
    with pytest.raises(MalformedCompressionError):
        got.extend(inflated(pieces_of(compressed(TEXT) + b"garbage", size), encoding))
    assert b"".join(got) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_body_that_is_not_compressed_at_all_is_an_error_and_gives_no_byte(encoding: str, size: int) -> None:
    for wire in (b"data: {}\n\n", b"<html></html>", b'{"error": {}}', b"\x1f\x8bnot really gzip"):
        got: list[bytes] = []
        with pytest.raises(MalformedCompressionError):
            got.extend(inflated(pieces_of(wire, size), encoding))
        assert got == []


def test_data_without_a_wrapper_are_not_gzip() -> None:
    with pytest.raises(MalformedCompressionError):
        whole([raw_deflate(TEXT)], "gzip")


def test_a_wrong_checksum_is_an_error() -> None:
    wire = bytearray(gzip.compress(TEXT))
    wire[-8] ^= 1
    with pytest.raises(MalformedCompressionError):
        whole([bytes(wire)], "gzip")


def test_a_bomb_is_given_piece_by_piece_and_holds_no_memory() -> None:
    packer = zlib.compressobj(wbits=31)
    bomb = b"".join(packer.compress(bytes(1024 * 1024)) for _ in range(64)) + packer.flush()
    assert len(bomb) < 70_000
    tracemalloc.start()
    size = 0
    for piece in inflated([bomb], "gzip"):
        assert len(piece) <= MAX_PIECE_BYTES
        size += len(piece)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size == 64 * 1024 * 1024
    assert peak_bytes < 1024 * 1024
