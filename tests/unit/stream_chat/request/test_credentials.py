from __future__ import annotations

from typing import Any

import pytest

from request.credentials import without_credentials
from upstream.key_redaction import REDACTED

SECRET = "s3cret-value"


@pytest.mark.parametrize(
    "parameters",
    [
        {"api_key": SECRET},
        {"Api-Key": SECRET},
        {"authorization": f"Bearer {SECRET}"},
        {"extra_headers": {"x": SECRET}},
        {"aws_secret_access_key": SECRET},
        {"aws_session_token": SECRET},
        {"vertex_credentials": {"private": SECRET}},
        {"tools": [{"type": "mcp", "server_url": "https://x", "authorization": SECRET}]},
        {"tools": [{"type": "mcp", "server_url": "https://x", "headers": {"X-Key": SECRET}}]},
        {"accessToken": SECRET},
        {"privateKey": SECRET},
        {"passwd": SECRET},
        {"cookie": SECRET},
        {"bearer": SECRET},
        {"extra_query": {"sig": SECRET}},
        {"extra_query": {"authentication": {"connection_string": SECRET}}},
        {"tools": [{"type": "function", "name": "f", "authorization": SECRET}]},
        {"auth": {"bearer": SECRET}},
        {"model_list": [{"litellm_params": {"api_key": SECRET}}]},
        {"user_config": {"nested": [{"password": SECRET}]}},
    ],
)
def test_a_callers_secret_is_redacted(parameters: dict[str, Any]) -> None:
    kept = without_credentials(parameters)
    assert SECRET not in str(kept)
    assert REDACTED in str(kept)


@pytest.mark.parametrize(
    "parameters",
    [
        {
            "max_tokens": 5,
            "max_completion_tokens": 6,
            "top_logprobs": 2,
            "prompt_cache_key": "k",
            "user": "u",
        },
        {"api_key": None, "token": ""},
        {"tools": [{"type": "function", "function": {"parameters": {"properties": {"password": {}}}}}]},
        {
            "tools": [
                {
                    "type": "function",
                    "name": "f",
                    "parameters": {"properties": {"api_key": {"type": "string"}}},
                }
            ]
        },
        {"response_format": {"json_schema": {"properties": {"token": {"type": "string"}}}}},
        {"text": {"format": {"schema": {"properties": {"secret": {"type": "string"}}}}}},
        {"stop": ["authorization"], "metadata": {"team": "secret squad"}},
    ],
)
def test_everything_else_is_unchanged(parameters: dict[str, Any]) -> None:
    assert without_credentials(parameters) == parameters


@pytest.mark.parametrize(
    "url",
    [
        f"https://{SECRET}@x.example/mcp",
        f"https://x.example/mcp?key={SECRET}",
        f"https://x.example/mcp#{SECRET}",
    ],
)
def test_secrets_are_removed_from_the_url_of_a_tool(url: str) -> None:
    kept = without_credentials({"tools": [{"type": "mcp", "server_url": url}]})
    assert kept["tools"][0]["server_url"] == "https://x.example/mcp"


def test_the_request_itself_is_not_modified() -> None:
    tool = {"type": "mcp", "authorization": SECRET}
    without_credentials({"tools": [tool]})
    assert tool["authorization"] == SECRET


def test_a_deeply_nested_value_is_not_followed_to_its_end() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    assert without_credentials({"deep": deep})["deep"] is not None
