"""How long a delta takes from the upstream's write to the caller's read, through the whole local stack.

The caller is curl, read from its standard output as a person's terminal would.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import time
from typing import Any

import pytest

from tests.support.local_stack import LocalStack
from tests.support.replay_upstream import DONE, ReplayUpstream, Reply, event

PAUSE_S = 0.5
DELTAS = 20
LIMIT_MS = 50.0


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on the PATH")
@pytest.mark.parametrize("fmt", ["text", "sse"])
def test_every_delta_reaches_curl_within_50_ms_of_the_upstreams_write(fmt: str) -> None:
    words = [f"word{number} " for number in range(DELTAS)]
    pieces: list[Any] = [piece for word in words for piece in (event(word), PAUSE_S)]
    with ReplayUpstream() as replay, LocalStack({"OPENAI_BASE_URL": replay.url}) as stack:
        for model in ("cold", "warm"):
            replay.answer(model, Reply([*pieces, event(finish="stop"), DONE]))
            read_at = _read_by_curl(stack, model, fmt, words)
            written_at = replay.exchanges(model)[0].written_at
            delays_ms = [(read - written) * 1000 for written, read in zip(written_at, read_at, strict=False)]
            median_ms, largest_ms = statistics.median(delays_ms), max(delays_ms)
            print(
                f"\n{fmt:5} {model}: first {delays_ms[0]:6.2f} ms, median {median_ms:5.2f} ms,"
                f" largest {largest_ms:6.2f} ms of {len(read_at)} deltas {PAUSE_S:g} s apart"
            )
            assert largest_ms < LIMIT_MS


def _read_by_curl(stack: LocalStack, model: str, fmt: str, words: list[str]) -> list[float]:
    """The `time.monotonic()` moment at which each word was read."""
    url = f"{stack.url}/chatCompletion?message=hi&model={model}"
    accept = "text/event-stream" if fmt == "sse" else "*/*"
    command = ["curl", "-sN", "-H", f"accept: {accept}", url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, bufsize=0) as curl:
        assert curl.stdout is not None
        got, read_at = b"", []
        for word in words:
            while word.encode() not in got:
                data = curl.stdout.read(65536)
                assert data, f"curl ended before {word!r}"
                got += data
            read_at.append(time.monotonic())
        curl.stdout.read()
    assert curl.returncode == 0
    return read_at
