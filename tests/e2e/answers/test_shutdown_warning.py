"""Operators are warned of a model's shutdown in the log, after the caller has the whole answer."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import httpx

from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer

LIST = "/v1/models"
MODEL = "gpt-6-luna"
PATIENCE_S = 60.0


def ask(url: str) -> str:
    """The answer of the only environment, once it is no longer busy (429)."""
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        response = httpx.get(f"{url}/chatCompletion?message=hi", trust_env=False, timeout=30)
        if response.status_code != 429 or time.monotonic() > give_up_at:
            return response.raise_for_status().text
        time.sleep(0.05)


def test_the_warning_waits_for_the_answer_and_the_list_is_read_once() -> None:
    day = (datetime.now(UTC) + timedelta(days=10)).date().isoformat()
    may_list = threading.Event()
    ending = {"object": "list", "data": [{"id": MODEL, "shutdown_date": day}]}
    listed = Reply([*Reply.json(ending).pieces], headers=Reply.json(ending).headers, head_after=may_list)
    settings = {"MAX_ENVIRONMENTS": "1"}
    with ReplayUpstream() as upstream, ServedRelay({**settings, "OPENAI_BASE_URL": upstream.url}) as relay:
        upstream.answer(MODEL, Reply(answer("one", "two")))
        upstream.answer(LIST, listed)
        assert ask(relay.url) == "onetwo"
        upstream.wait_for_exchange(LIST)  # it hangs, and the caller already has everything
        may_list.set()
        relay.line_with(f"the model {MODEL} will be shut down on {day}")
        for _ in range(2):
            assert ask(relay.url) == "onetwo"
        give_up_at = time.monotonic() + PATIENCE_S
        while len(relay.transcripts) < 3:
            assert time.monotonic() < give_up_at
            time.sleep(0.01)
        assert len(upstream.exchanges(LIST)) == 1
        assert len([line for line in relay.lines if "will be shut down" in line]) == 1
