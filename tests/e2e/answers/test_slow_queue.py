"""A slow queue does not delay the caller."""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx
import pytest

from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.network.slow_proxy import SlowProxy
from tests.support.runtime.local_stack import LocalStack, free_ports
from tests.support.upstreams.replay_upstream import DONE, ReplayUpstream, Reply, event

SQS_DELAY_S = 5.0
LIMIT_MS = 20.0
ACCEPTED = ("text/plain", "text/event-stream")
# On a busy machine a process sometimes waits for longer than the limit, but hardly in every run. An answer
# that waits for the queue does so in every run.
RUNS = 40


@pytest.fixture(scope="module")
def proxy_and_stack(replay: ReplayUpstream) -> Iterator[tuple[SlowProxy, LocalStack]]:
    port = free_ports(3)
    with SlowProxy(f"http://127.0.0.1:{port + 1}") as proxy:
        # One environment, so that none is started in the middle of a measurement.
        settings = {"OPENAI_BASE_URL": replay.url, "MAX_ENVIRONMENTS": "1"}
        with LocalStack({**settings, "AWS_ENDPOINT_FOR_FUNCTIONS": proxy.url}, port) as stack:
            yield proxy, stack


def end_delay_ms(caller: httpx.Client, replay: ReplayUpstream, accept: str) -> tuple[str, float]:
    """The request's id, and the time from the upstream's last write to the end of the caller's stream."""
    number = len(replay.exchanges("ends"))
    query = {"message": "hi", "model": "ends"}
    with caller.stream("GET", "/chatCompletion", params=query, headers={"accept": accept}) as response:
        for _ in response.iter_raw():
            pass
        ended_at = time.monotonic()
    last_write_at = replay.exchanges("ends")[number].written_at[-1]
    return response.headers["x-relay-request-id"], (ended_at - last_write_at) * 1000


def test_with_sqs_answering_after_5_s_the_stream_ends_within_20_ms_of_the_upstreams(
    proxy_and_stack: tuple[SlowProxy, LocalStack], replay: ReplayUpstream
) -> None:
    proxy, stack = proxy_and_stack
    replay.answer("ends", Reply([event("Gut."), 0.1, event(finish="stop"), DONE]))
    with (
        httpx.Client(base_url=stack.url, timeout=30, trust_env=False) as caller,
        TranscriptQueue(stack.endpoint, stack.queue_url("transcripts")) as queue,
    ):
        for accept in ACCEPTED:
            queue.get(end_delay_ms(caller, replay, accept)[0])  # now every process is warm
        proxy.delays_s = {"sqs": SQS_DELAY_S}
        began_at = time.monotonic()
        first_id = ""
        for accept in ACCEPTED:
            delays_ms: list[float] = []
            while min(delays_ms, default=LIMIT_MS + 1) > LIMIT_MS:
                request_id, delay_ms = end_delay_ms(caller, replay, accept)
                first_id = first_id or request_id
                delays_ms.append(delay_ms)
                assert len(delays_ms) <= RUNS, delays_ms
        assert queue.get(first_id)["outcome"] == "completed"
        assert time.monotonic() - began_at >= SQS_DELAY_S
