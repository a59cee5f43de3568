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


def decompress(pieces: Iterable[bytes], encoding: str) -> bytes:
    return b"".join(inflated(pieces, encoding))


@every_form
@given(data=st.binary(max_size=200) | st.just(TEXT), size=st.integers(1, 300))
def test_compressed_data_is_restored_from_any_pieces(
    encoding: str, compressed: Callable[[bytes], bytes], data: bytes, size: int
) -> None:
    assert decompress(pieces_of(compressed(data), size), encoding) == data


@every_form
@pytest.mark.parametrize("spare", [-1, 0, 1])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_a_body_that_fills_a_piece_is_restored_whole(
    encoding: str, compressed: Callable[[bytes], bytes], spare: int, size: int
) -> None:
    for data in (b"x" * (MAX_PIECE_BYTES + spare), b"x" * (3 * MAX_PIECE_BYTES + spare)):
        assert decompress(pieces_of(compressed(data), size), encoding) == data


@every_form
@given(data=st.data())
def test_a_body_that_ends_too_early_is_an_error_after_the_decoded_part(
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
    assert decompress([], encoding) == b""
    assert decompress([b""], encoding) == b""


@every_form
def test_flushed_data_is_returned_before_the_next_piece_is_read(
    encoding: str, compressed: Callable[[bytes], bytes]
) -> None:
    wbits = {gzip.compress: 31, zlib.compress: 15, raw_deflate: -15}[compressed]
    compressor = zlib.compressobj(wbits=wbits)
    asked: list[bytes] = []

    def pieces() -> Iterator[bytes]:
        for event in (b"data: a\n\n", b"data: b\n\n"):
            asked.append(event)
            yield compressor.compress(event) + compressor.flush(zlib.Z_SYNC_FLUSH)
        yield compressor.flush()

    body = inflated(pieces(), encoding)
    assert (next(body), asked) == (b"data: a\n\n", [b"data: a\n\n"])
    assert b"".join(body) == b"data: b\n\n"


@pytest.mark.parametrize("size", [1, 3, 10, 100_000])
def test_consecutive_gzip_members_are_one_body(size: int) -> None:
    wire = gzip.compress(b"Hel") + gzip.compress(b"") + gzip.compress(b"lo")
    assert decompress(pieces_of(wire, size), "gzip") == b"Hello"


def test_a_second_member_that_ends_too_early_is_an_error() -> None:
    with pytest.raises(MalformedCompressionError, match="too early"):
        decompress([gzip.compress(b"Hel") + gzip.compress(b"lo")[:-1]], "gzip")


@every_form
@pytest.mark.parametrize("size", [1, 100_000])
def test_garbage_after_the_end_is_an_error_and_not_kept_in_memory(
    encoding: str, compressed: Callable[[bytes], bytes], size: int
) -> None:
    got: list[bytes] = []
    with pytest.raises(MalformedCompressionError):
        got.extend(inflated(pieces_of(compressed(TEXT) + b"garbage", size), encoding))
    assert b"".join(got) == TEXT


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
@pytest.mark.parametrize("size", [1, 100_000])
def test_a_body_that_is_not_compressed_is_an_error_without_output(encoding: str, size: int) -> None:
    for wire in (b"data: {}\n\n", b"<html></html>", b'{"error": {}}', b"\x1f\x8bnot really gzip"):
        got: list[bytes] = []
        with pytest.raises(MalformedCompressionError):
            got.extend(inflated(pieces_of(wire, size), encoding))
        assert got == []


def test_data_without_a_wrapper_is_not_gzip() -> None:
    with pytest.raises(MalformedCompressionError):
        decompress([raw_deflate(TEXT)], "gzip")


def test_a_wrong_checksum_is_an_error() -> None:
    wire = bytearray(gzip.compress(TEXT))
    wire[-8] ^= 1
    with pytest.raises(MalformedCompressionError):
        decompress([bytes(wire)], "gzip")


def test_a_decompression_bomb_is_returned_in_pieces_and_holds_no_memory() -> None:
    compressor = zlib.compressobj(wbits=31)
    bomb = b"".join(compressor.compress(bytes(1024 * 1024)) for _ in range(64)) + compressor.flush()
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
