"""One runtime process answers many requests, a tenth of them failing, and leaks nothing."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer, event

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only /proc shows the resources of a process")

MEMORY_GROWTH_LIMIT_KIB = 2 * 1024


@dataclass(frozen=True)
class Footprint:
    descriptors: int
    threads: int
    memory_kib: int


def footprint_at_rest(pid: int) -> Footprint:
    """What the process holds after the hand-off of its last transcript, which ends soon after the answer.

    Then it has its main thread and the watchdog's.
    """
    give_up_at = time.monotonic() + 10
    while (held := footprint(pid)).threads > 2 and time.monotonic() < give_up_at:
        time.sleep(0.05)
    return held


def footprint(pid: int) -> Footprint:
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line
    )
    memory_kib = int(fields["VmRSS"].split()[0])
    return Footprint(len(list(Path(f"/proc/{pid}/fd").iterdir())), int(fields["Threads"]), memory_kib)


def ask(caller: httpx.Client, number: int) -> None:
    """Ask once. Every tenth request fails, each time in the next way; half of the others stream events."""
    failing = number % 10 == 9
    model = f"failing-{number // 10 % 6}" if failing else "good"
    body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    if failing and number // 10 % 7 == 6:
        assert caller.post("/chatCompletion", content=b"{").status_code == 400
        return
    if failing and model == "failing-5":
        with caller.stream("POST", "/chatCompletion", json=body) as response:
            next(response.iter_raw())  # and leaves
        return
    try:
        path, extra = ("/v1/chat/completions", {"stream": True}) if number % 2 else ("/chatCompletion", {})
        response = caller.post(path, json={**body, **extra})
        assert failing or response.status_code == 200
    except httpx.RemoteProtocolError:
        assert failing


def test_neither_descriptors_nor_threads_nor_memory_grow(replay: ReplayUpstream) -> None:
    replay.answer("good", Reply(answer(*[f"word{number} " for number in range(20)])))
    replay.answer("failing-0", Reply.json({"error": {"message": "no"}}, 400))
    replay.answer("failing-1", Reply([event("Par")], ends="cut"))
    replay.answer("failing-2", Reply([event("Par"), b'data: {"error": {"message": "oops"}}\n\n']))
    replay.answer("failing-3", Reply([], ends="reset"))
    replay.answer("failing-4", Reply([event("Par")], ends="silent"))
    words = [piece for number in range(100) for piece in (event(f"{number} "), 0.02)]
    replay.answer("failing-5", Reply(words))
    settings = {"OPENAI_BASE_URL": replay.url, "MAX_ENVIRONMENTS": "1", "IDLE_TIMEOUT_S": "2"}
    with (
        ServedRelay({**settings, "UPSTREAM_RETRIES": "0"}) as relay,
        httpx.Client(base_url=relay.url, timeout=30, trust_env=False) as caller,
    ):
        for number in range(70):
            ask(caller, number)
        (pid,) = relay.runtime_processes
        early = footprint_at_rest(pid)
        for number in range(70, 130):  # the last request is of the same kind
            ask(caller, number)
        assert relay.runtime_processes == [pid], "the runtime process was replaced"
        late = footprint_at_rest(pid)
    print(f"after 70 requests {early}, after 130 {late}")
    assert (late.descriptors, late.threads) == (early.descriptors, early.threads)
    assert late.memory_kib - early.memory_kib < MEMORY_GROWTH_LIMIT_KIB
