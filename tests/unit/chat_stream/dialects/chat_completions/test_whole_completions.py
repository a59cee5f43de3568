"""Chat completions that were not streamed: converted to chunks for a caller who asked for a stream."""

from __future__ import annotations

from typing import Any

from chat_stream.dialects.chat_completions.events import completion_chunks

COMPLETION = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1760000000,
    "model": "m",
    "system_fingerprint": "fp",
    "service_tier": "default",
    "choices": [
        {
            "index": 0,
            "message": {
                "role": "assistant",
                "content": "Hi",
                "refusal": None,
                "annotations": [{"x": 1}],
                "tool_calls": [
                    {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}},
                    {"id": "b", "type": "function", "function": {"name": "g", "arguments": "[]"}},
                ],
            },
            "logprobs": {"content": [{"token": "Hi", "logprob": -0.5}]},
            "content_filter_results": {},
            "finish_reason": "tool_calls",
        },
        {"index": 1, "message": {"role": "assistant", "refusal": "No."}, "finish_reason": "stop"},
    ],
    "usage": {"total_tokens": 3},
}


def test_completion_becomes_chunks_without_loss() -> None:
    first, second, first_end, second_end, usage = completion_chunks(COMPLETION)
    kept = {key: COMPLETION[key] for key in ("id", "created", "model", "system_fingerprint", "service_tier")}
    for chunk in (first, second, first_end, second_end, usage):
        assert {key: chunk[key] for key in kept} == kept
        assert chunk["object"] == "chat.completion.chunk"
    [choice] = first["choices"]
    message: dict[str, Any] = COMPLETION["choices"][0]["message"]  # type: ignore[index]
    calls_with_index = [{"index": index, **call} for index, call in enumerate(message["tool_calls"])]
    assert choice["delta"] == {**message, "tool_calls": calls_with_index}
    assert choice["logprobs"] == {"content": [{"token": "Hi", "logprob": -0.5}]}
    assert choice["content_filter_results"] == {}
    assert choice["finish_reason"] is None
    assert [chunk["choices"][0]["finish_reason"] for chunk in (first_end, second_end)] == [
        "tool_calls",
        "stop",
    ]
    assert (usage["choices"], usage["usage"]) == ([], {"total_tokens": 3})


def test_completion_without_usage_has_no_usage_chunk() -> None:
    assert len(completion_chunks({**COMPLETION, "usage": None})) == 4
