"""LOG_LEVEL applies to every part of the function, and no level logs secrets or conversations."""

from __future__ import annotations

import json

import httpx

from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer, event

PROMPT, WORDS, KEY = "my-secret-plan", "the-secret-answer", "sk-secret-key"


def test_at_debug_the_log_has_neither_key_nor_prompt_nor_answer(replay: ReplayUpstream) -> None:
    replay.answer("good", Reply(answer(WORDS)))
    replay.answer("bad", Reply.json({"error": {"message": f"no {KEY}"}}, 400))
    replay.answer("cut", Reply([event(WORDS), 0.1], ends="cut"))
    error = json.dumps({"error": {"message": f"{PROMPT} is bad", "code": f"bad {PROMPT}"}}).encode()
    replay.answer("told", Reply([event(WORDS), 0.1, b"data: " + error + b"\n\n"]))
    settings = {"OPENAI_BASE_URL": replay.url, "OPENAI_API_KEY": KEY, "LOG_LEVEL": "DEBUG"}
    with LocalStack(settings) as stack:
        for model in ("good", "bad", "cut", "told"):
            query = {"message": PROMPT, "model": model}
            try:
                response = httpx.get(f"{stack.url}/chatCompletion", params=query, trust_env=False, timeout=30)
                assert KEY not in response.text
            except httpx.RemoteProtocolError:
                assert model in ("cut", "told")
            stack.line_with("[transcript]")
        log, terminal = stack.log(), "\n".join(stack.output)
    assert '"level": "DEBUG"' in log
    assert '"level": "INFO"' in log
    for secret in (PROMPT, WORDS, KEY):
        assert secret not in log
        assert secret not in terminal


def test_at_error_the_record_of_each_answer_is_not_logged(replay: ReplayUpstream) -> None:
    replay.answer("good", Reply(answer(WORDS)))
    with LocalStack({"OPENAI_BASE_URL": replay.url, "LOG_LEVEL": "ERROR"}) as stack:
        query = {"message": PROMPT, "model": "good"}
        httpx.get(f"{stack.url}/chatCompletion", params=query, trust_env=False, timeout=30)
        stack.line_with("[transcript]")
        assert stack.log() == ""
