"""Failures that an upstream reports in place of an answer, in other shapes than OpenAI's."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.runtime.relaying import RelayCall
from tests.support.upstreams.replay_upstream import DONE, Reply


@pytest.mark.parametrize(
    ("document", "status", "message"),
    [
        ({"error": {"message": "slow"}, "status": 429}, 429, "slow"),
        ({"error": True, "message": "long", "code": "context_length_exceeded"}, 400, "long"),
        ({"detail": "busy"}, 502, "busy"),
        ({"code": "Throttling.RateQuota", "message": "slow"}, 429, "slow"),
        ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "slow"}}, 429, "slow"),
        ({"choices": [], "base_resp": {"status_code": 1008, "status_msg": "balance"}}, 402, "balance"),
    ],
)
@pytest.mark.parametrize("fmt", ["text", "sse", "json"])
@pytest.mark.parametrize("is_document", [True, False])
def test_a_failure_without_the_word_error_has_its_status_and_message(
    relay: RelayCall, document: Any, status: int, message: str, fmt: str, *, is_document: bool
) -> None:
    reply = Reply([b"data: " + json.dumps(document).encode() + b"\n\n", DONE])
    got = relay(Reply.json(document) if is_document else reply, fmt=fmt)
    assert (got.status, got.error["message"]) == (status, message)
    assert got.transcript["outcome"] == "failed"
    assert got.transcript["response"]["error"]["message"] == message
