"""Providers supported by settings alone: each one's URL and key header, and its own recorded stream."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, Dialect, responses_dialect
from settings import Settings
from tests.support.conformance_cases import stream_cases
from tests.support.runtime.relaying import RelayCall
from tests.support.upstreams.replay_upstream import ReplayUpstream
from tests.support.upstreams.stream_case_replies import case_reply

CASES = {case.name: case for case in stream_cases()}


@dataclass(frozen=True)
class Provider:
    """A provider's settings and the request that it must get. `{origin}` stands for its server."""

    variables: dict[str, str]
    target: str
    key: tuple[str, str] | None
    case: str
    dialect: Dialect = CHAT_COMPLETIONS


PROVIDERS = {
    "OpenAI": Provider(
        {"OPENAI_BASE_URL": "{origin}/v1", "OPENAI_API_KEY": "k"},
        "/v1/chat/completions",
        ("authorization", "Bearer k"),
        "chat_basic_openai",
    ),
    "OpenAI, responses": Provider(
        {"OPENAI_BASE_URL": "{origin}/", "OPENAI_API_KEY": "k"},
        "/v1/responses",
        ("authorization", "Bearer k"),
        "responses_basic",
        responses_dialect(),
    ),
    "Azure OpenAI": Provider(
        {
            "OPENAI_BASE_URL": "{origin}/openai/deployments/gpt-6-luna",
            "OPENAI_API_KEY": "k",
            "OPENAI_KEY_HEADER": "api-key",
            "OPENAI_API_VERSION": "2024-10-21",
        },
        "/openai/deployments/gpt-6-luna/chat/completions?api-version=2024-10-21",
        ("api-key", "k"),
        "chat_azure_prompt_filter_first_chunk",
    ),
    "Azure OpenAI, v1": Provider(
        {"OPENAI_BASE_URL": "{origin}/openai/v1/", "OPENAI_API_KEY": "k", "OPENAI_KEY_HEADER": "api-key"},
        "/openai/v1/responses",
        ("api-key", "k"),
        "responses_refusal",
        responses_dialect(),
    ),
    "Ollama": Provider(
        {"OPENAI_BASE_URL": "{origin}"}, "/v1/chat/completions", None, "chat_done_without_finish_reason"
    ),
    "vLLM": Provider(
        {"OPENAI_BASE_URL": "{origin}/v1", "OPENAI_API_KEY": "k"},
        "/v1/chat/completions",
        ("authorization", "Bearer k"),
        "chat_unknown_fields",
    ),
    "OpenRouter": Provider(
        {"OPENAI_BASE_URL": "{origin}/api/v1", "OPENAI_API_KEY": "k"},
        "/api/v1/chat/completions",
        ("authorization", "Bearer k"),
        "chat_openrouter_comments_reasoning",
    ),
    "DeepSeek": Provider(
        {"OPENAI_BASE_URL": "{origin}", "OPENAI_API_KEY": "k"},
        "/v1/chat/completions",
        ("authorization", "Bearer k"),
        "chat_deepseek_reasoning_content",
    ),
    "Gemini": Provider(
        {"OPENAI_BASE_URL": "{origin}/v1beta/openai/", "OPENAI_API_KEY": "k"},
        "/v1beta/openai/chat/completions",
        ("authorization", "Bearer k"),
        "chat_tools_all_index_zero",
    ),
}


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_gets_its_request_format_and_its_stream_passes(
    relay: RelayCall, replay: ReplayUpstream, model: str, name: str
) -> None:
    provider = PROVIDERS[name]
    variables = {k: v.format(origin=replay.origin) for k, v in provider.variables.items()}
    case = CASES[provider.case]
    fmt = "sse" if provider.dialect is CHAT_COMPLETIONS else "responses-sse"
    got = relay(
        case_reply(case, 100),
        fmt=fmt,
        dialect=provider.dialect,
        usage_wanted=True,
        settings=Settings.from_environment(variables),
    )
    assert got.data == case.body
    assert got.transcript["outcome"] == case.expected["outcome"]
    (received,) = replay.exchanges(model)
    assert received.target == provider.target
    keys = {k: v for k, v in received.headers.items() if k in ("authorization", "api-key")}
    assert keys == dict([provider.key] if provider.key else [])


def test_an_upstream_that_always_compresses_is_read(relay: RelayCall) -> None:
    case = CASES["chat_basic_openai"]
    got = relay(case_reply(case, 7, compressed=True), fmt="sse", usage_wanted=True)
    assert got.data == case.body
