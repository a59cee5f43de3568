"""What FORBIDDEN_FIELDS, ALLOWED_FIELDS, ALLOWED_MODELS, MAX_MESSAGES and MAX_OUTPUT_TOKENS allow."""

from __future__ import annotations

import json
from typing import Any

import pytest

from errors import RequestError
from public.routes import OpenRoute
from request.chat_request import ChatRequest
from request.http_request import HttpRequest
from routing import find_route
from settings import Settings

MESSAGES = [{"role": "user", "content": "hi"}]
UI_MESSAGES = [{"id": "1", "role": "user", "parts": [{"type": "text", "text": "hi"}]}]
ROUTES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": MESSAGES},
    "/chatCompletion": {"messages": MESSAGES},
    "/api/chat": {"messages": UI_MESSAGES},
    "/v1/responses": {"input": "hi"},
}
CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"


def sent(path: str, body: dict[str, Any], **values: Any) -> dict[str, Any]:
    """What is sent to the upstream for this body, in addition to the route's messages."""
    http = HttpRequest("POST", path, {}, {}, json.dumps({**ROUTES[path], **body}).encode())
    parse = find_route(http, Settings())
    assert not isinstance(parse, OpenRoute)
    chat = parse(http, Settings(**values))
    assert isinstance(chat, ChatRequest)
    return dict(json.loads(chat.upstream_body))


def refusal(path: str, body: dict[str, Any], **values: Any) -> tuple[int, str, str | None]:
    with pytest.raises(RequestError) as raised:
        sent(path, body, **values)
    return raised.value.status, raised.value.code, raised.value.param


@pytest.mark.parametrize("path", ROUTES)
def test_a_forbidden_field_is_refused_by_name_on_every_route(path: str) -> None:
    forbidden = {"forbidden_fields": ("store", "web_*")}
    assert refusal(path, {"store": True}, **forbidden) == (400, "field_not_allowed", "store")
    assert refusal(path, {"web_search_options": {}}, **forbidden)[2] == "web_search_options"
    assert sent(path, {"store": None, "metadata": {}}, **forbidden)["metadata"] == {}


@pytest.mark.parametrize("path", ROUTES)
def test_more_messages_than_allowed_are_refused(path: str) -> None:
    name = "input" if path == RESPONSES else "messages"
    item = (UI_MESSAGES if path == "/api/chat" else MESSAGES)[0]
    assert sent(path, {name: [item] * 3}, max_messages=3)[name] != []
    assert refusal(path, {name: [item] * 4}, max_messages=3) == (400, "too_many_messages", name)


@pytest.mark.parametrize("path", ROUTES)
def test_models_are_allowed_by_pattern(path: str) -> None:
    allowed = {"allowed_models": ("gpt-6*", "gpt-5.6-sol"), "default_model": "gpt-5.6-sol"}
    assert sent(path, {"model": "gpt-6-luna"}, **allowed)["model"] == "gpt-6-luna"
    assert sent(path, {}, **allowed)["model"] == "gpt-5.6-sol"
    for model in ("gpt-5.6-luna", "xgpt-6", "gpt-5.6-sol-pro", "GPT-5.6-SOL"):
        assert refusal(path, {"model": model}, **allowed) == (400, "model_not_allowed", "model")


@pytest.mark.parametrize(
    ("field", "param"),
    [
        ({"models": ["m", "dear"]}, "models"),
        ({"models": "dear"}, "models"),
        ({"models": [7]}, "models"),
        ({"Models": ["dear"]}, "Models"),
        ({"fallbacks": ["dear"]}, "fallbacks"),
        ({"fallbacks": [{"model": "dear"}]}, "fallbacks"),
        ({"fallbacks": [{"model": "m", "fallbacks": [{"model": "dear"}]}]}, "fallbacks"),
        ({"context_window_fallbacks": [{"m": ["dear"]}]}, "context_window_fallbacks"),
        ({"plugins": [{"id": "web", "model": "dear"}]}, "plugins"),
        ({"plugins": [{"id": "fusion", "analysis_models": ["m", "dear"]}]}, "plugins"),
        ({"extra_body": {"router": {"model_list": [{"model_name": "dear"}]}}}, "extra_body"),
        ({"tools": [{"type": "x:ask", "parameters": {"judge_model": "dear"}}]}, "tools[0]"),
        ({"tools": [{"type": "function", "x:models": [{"models": ["dear"]}]}]}, "tools[0].x:models"),
    ],
)
def test_a_forbidden_model_is_found_in_fields_that_are_allowed_by_name(
    field: dict[str, Any], param: str
) -> None:
    allowed: dict[str, Any] = {"allowed_models": ("m",), "default_model": "m", "allowed_fields": ("*",)}
    assert refusal(CHAT, field, **allowed) == (400, "model_not_allowed", param)
    assert refusal(CHAT, field, **{**allowed, "allowed_fields": ()})[1:] == ("field_not_allowed", param)
    assert sent(CHAT, field)  # if every model is allowed, the upstream decides
    fitting = {
        "models": ["m"],
        "fallbacks": [{"m": ["m"]}, {"model": "m", "max_tokens": 5}],
        "plugins": [{"id": "web"}],
    }
    assert sent(CHAT, fitting, **allowed)


@pytest.mark.parametrize(
    ("path", "field", "param"),
    [
        (CHAT, {"model": "m,dear"}, "model"),
        (CHAT, {"moderation": {"model": "dear"}}, "moderation.model"),
        (RESPONSES, {"tools": [{"type": "image_generation", "model": "dear"}]}, "tools[0].model"),
        (
            RESPONSES,
            {
                "input": [
                    {"type": "additional_tools", "tools": [{"type": "image_generation", "model": "dear"}]}
                ]
            },
            "input[0].tools[0].model",
        ),
    ],
)
def test_a_forbidden_model_is_found_in_openais_own_fields(
    path: str, field: dict[str, Any], param: str
) -> None:
    allowed = {"allowed_models": ("m",), "default_model": "m"}
    assert refusal(path, field, **allowed) == (400, "model_not_allowed", param)
    assert sent(path, field)


# Each of these alone makes only known fields pass.
ANY_LIMIT: list[dict[str, Any]] = [
    {"forbidden_fields": ("store",)},
    {"max_output_tokens": 9},
    {"allowed_models": ("m",), "default_model": "m"},
    {"requests_per_minute": 5},
    {"tokens_per_day": 5},
]
FOREIGN = (
    "fallbacks", "models", "plugins", "n_predict", "extra_body", "user_config", "preset", "best_of",
    "options", "max_new_tokens", "reasoning_budget", "guardrails", "mock_response", "api_base",
    "Fallbacks", "route", "top_k",
)  # fmt: skip


@pytest.mark.parametrize("limit", ANY_LIMIT, ids=lambda limit: next(iter(limit)))
@pytest.mark.parametrize("path", ROUTES)
def test_if_anything_is_limited_only_openais_fields_pass(path: str, limit: dict[str, Any]) -> None:
    for name in FOREIGN:
        assert refusal(path, {name: ["x"]}, **limit) == (400, "field_not_allowed", name)
        assert sent(path, {name: ["x"]})[name] == ["x"]
    others = {
        "metadata": {"a": "b"},
        "parallel_tool_calls": False,
        "user": "u",
        "top_p": 0.5,
        "temperature": 1,
    }
    body = sent(path, others, **limit)
    assert {name: body[name] for name in others} == others


def test_fields_of_the_other_api_count_as_unknown() -> None:
    limit = {"requests_per_minute": 5}
    assert refusal(CHAT, {"instructions": "x"}, **limit)[2] == "instructions"
    assert refusal(RESPONSES, {"messages": MESSAGES}, **limit)[2] == "messages"
    assert sent("/api/chat", {"id": "c", "trigger": "submit-message", "messageId": "m"}, **limit)


def test_a_field_is_allowed_by_name_and_the_refusal_says_how() -> None:
    limited: dict[str, Any] = {"max_output_tokens": 9, "allowed_fields": ("reasoning", "x_*")}
    fields = {"reasoning": {"effort": "low"}, "x_trace": True}
    assert sent(CHAT, fields, **limited).items() >= fields.items()
    assert refusal(CHAT, {"fallbacks": []}, **limited)[2] == "fallbacks"
    with pytest.raises(RequestError, match=r"`n_predict` .* ALLOWED_FIELDS"):
        sent(CHAT, {"n_predict": 10**9}, **limited)


@pytest.mark.parametrize(
    ("tool", "param", "name"),
    [
        ({"type": "openrouter:web_search"}, "tools[0]", "tools.openrouter:web_search"),
        (
            {"type": "function", "function": {}, "analysis_models": ["m"]},
            "tools[0].analysis_models",
            "tools.analysis_models",
        ),
        ({"type": "function", "cache_control": {}}, "tools[0].cache_control", "tools.cache_control"),
        ({"type": "web_search"}, "tools[0]", "tools.web_search"),  # of the Responses API only
        ({"googleSearch": {}}, "tools[0]", "tools.*"),
        ({"type": ["function"]}, "tools[0]", "tools.*"),
    ],
)
def test_an_unknown_kind_or_member_of_a_tool_is_allowed_by_name(
    tool: dict[str, Any], param: str, name: str
) -> None:
    limit = {"requests_per_minute": 5}
    assert refusal(CHAT, {"tools": [tool]}, **limit) == (400, "field_not_allowed", param)
    assert sent(CHAT, {"tools": [tool]}, **limit, allowed_fields=(name,))["tools"] == [tool]
    assert sent(CHAT, {"tools": [tool]})["tools"] == [tool]


def test_tools_in_items_and_namespaces_are_checked() -> None:
    foreign = {"type": "x:search"}
    space = {"type": "namespace", "name": "n", "description": "", "tools": [foreign]}
    item = {"type": "additional_tools", "role": "developer", "tools": [{"type": "web_search"}]}
    assert refusal(RESPONSES, {"tools": [space]}, requests_per_minute=5)[2] == "tools[0].tools[0]"
    assert (
        refusal(RESPONSES, {"input": [{**item, "tools": [foreign]}]}, requests_per_minute=5)[2]
        == "input[0].tools[0]"
    )
    assert refusal(RESPONSES, {"input": [item]}, forbidden_fields=("tools",))[2] == "input[0].tools"
    assert refusal(RESPONSES, {"input": [item]}, forbidden_fields=("tools.web_*",))[2] == "input[0].tools[0]"
    assert sent(RESPONSES, {"input": [item]}, requests_per_minute=5)["input"] == [item]


@pytest.mark.parametrize("tools", [{"type": "function"}, "all", [7], [["x"]]])
def test_tools_must_be_a_list_of_objects_if_anything_is_limited(tools: Any) -> None:
    assert refusal(CHAT, {"tools": tools}, requests_per_minute=5) == (400, "invalid_value", "tools")


def test_metadata_may_only_contain_strings_if_anything_is_limited() -> None:
    for value in ({"tags": ["dear"]}, {"fallbacks": [{"model": "dear"}]}, ["x"]):
        assert refusal(CHAT, {"metadata": value}, requests_per_minute=5)[2] == "metadata"
        assert sent(CHAT, {"metadata": value}, requests_per_minute=5, allowed_fields=("metadata",))


@pytest.mark.parametrize(
    ("fallback", "param"),
    [
        ({"max_completion_tokens": 101}, "fallbacks.max_completion_tokens"),
        ({"Max_Tokens": 101}, "fallbacks.Max_Tokens"),
        ({"max_tokens": "many"}, "fallbacks.max_tokens"),
        ({"n": 100}, "fallbacks.n"),
        ({"n_predict": 10**9}, "fallbacks.n_predict"),
        ({"store": True}, "fallbacks.store"),
        ({"tools": [{"type": "x:search"}]}, "fallbacks.tools[0]"),
        ({"fallbacks": [{"model": "m", "max_tokens": 101}]}, "fallbacks.max_tokens"),
    ],
)
def test_a_fallback_is_limited_like_the_request(fallback: dict[str, Any], param: str) -> None:
    limits: dict[str, Any] = {
        "max_output_tokens": 100,
        "forbidden_fields": ("store",),
        "allowed_fields": ("fallbacks",),
    }
    assert refusal(CHAT, {"fallbacks": [{"model": "m", **fallback}]}, **limits)[2] == param
    fitting = [{"model": "m", "max_tokens": 100, "tools": [{"type": "function"}], "temperature": 0}]
    assert sent(CHAT, {"fallbacks": fitting}, **limits)["fallbacks"] == fitting


def test_without_a_cap_the_request_passes_unchanged() -> None:
    asked = {"max_tokens": 10**9, "max_completion_tokens": "many"}
    body = sent(CHAT, asked)
    assert {name: body[name] for name in asked} == asked
    assert "max_output_tokens" not in sent(RESPONSES, {})


@pytest.mark.parametrize("path", [path for path in ROUTES if path != RESPONSES])
def test_a_request_without_a_bound_gets_the_cap(path: str) -> None:
    assert sent(path, {}, max_output_tokens=100)["max_completion_tokens"] == 100
    body = sent(path, {"max_tokens": None}, max_output_tokens=100, output_tokens_field="max_tokens")
    assert body["max_tokens"] == 100
    assert "max_completion_tokens" not in body


def test_the_lowest_bound_is_sent_in_the_one_field_that_the_upstream_reads() -> None:
    body = sent(CHAT, {"max_tokens": 7, "max_completion_tokens": 9}, max_output_tokens=100)
    assert body["max_completion_tokens"] == 7
    assert "max_tokens" not in body


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "7", [], {}])
def test_a_bound_that_is_not_a_number_is_refused_if_there_is_a_cap(value: object) -> None:
    assert refusal(CHAT, {"max_tokens": value}, max_output_tokens=100)[1:] == ("invalid_value", "max_tokens")
    response = refusal(RESPONSES, {"max_output_tokens": value}, max_output_tokens=100)
    assert response[1:] == ("invalid_value", "max_output_tokens")


def test_all_choices_share_the_cap() -> None:
    assert sent(CHAT, {"n": 4}, max_output_tokens=100)["max_completion_tokens"] == 25
    assert sent(CHAT, {"n": 4, "max_tokens": 20}, max_output_tokens=100)["max_completion_tokens"] == 20
    assert refusal(CHAT, {"n": 4, "max_tokens": 26}, max_output_tokens=100)[2] == "max_tokens"
    assert refusal(CHAT, {"n": 101}, max_output_tokens=100) == (400, "too_many_choices", "n")


def test_a_refusal_names_what_is_allowed() -> None:
    with pytest.raises(RequestError, match=r"`max_tokens` .* 100 .*25 for each of its choices"):
        sent(CHAT, {"n": 4, "max_tokens": 26}, max_output_tokens=100)


def test_a_forbidden_field_and_model_are_also_refused_in_the_url() -> None:
    http = HttpRequest("GET", "/chatCompletion", {"message": "hi", "model": "gpt-6.1-sol"}, {}, b"")
    parse = find_route(http, Settings())
    assert not isinstance(parse, OpenRoute)
    for settings in (Settings(forbidden_fields=("model",)), Settings(allowed_models=("m",))):
        with pytest.raises(RequestError) as raised:
            parse(http, settings)
        assert raised.value.param == "model"


def test_a_very_long_name_takes_no_memory_for_each_of_its_items() -> None:
    nasty = {"fallbacks": {"k" * 500_000: [1] * 90_000}}
    limits: dict[str, Any] = {
        "allowed_models": ("m",),
        "default_model": "m",
        "allowed_fields": ("fallbacks",),
    }
    assert refusal(CHAT, nasty, **limits)[1] == "model_not_allowed"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("name", ["Model", "MAX_TOKENS", "max_to\u212aens", "Stream", "me\u017fsages"])
def test_one_of_openais_fields_in_another_case_is_refused(path: str, name: str) -> None:
    assert refusal(path, {name: "x"}) == (400, "field_not_allowed", name)


def test_a_function_argument_named_model_is_not_a_model() -> None:
    schema = {"type": "object", "properties": {"model": {"type": "string"}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    assert sent(CHAT, {"tools": tools}, allowed_models=("m",), default_model="m")["tools"] == tools


def test_a_ui_message_that_becomes_many_counts_as_many() -> None:
    call = {"type": "tool-f", "toolCallId": "c", "state": "output-available", "input": {}, "output": 1}
    parts = [{**call, "toolCallId": f"c{number}"} for number in range(50)]
    messages = [{"id": "2", "role": "assistant", "parts": parts}, *UI_MESSAGES]
    assert refusal("/api/chat", {"messages": messages}, max_messages=9)[1] == "too_many_messages"


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens", "max_output_tokens"])
def test_every_bound_is_checked_on_every_route_and_one_is_sent(path: str, name: str) -> None:
    assert refusal(path, {name: 101}, max_output_tokens=100)[2] == name
    own = "max_output_tokens" if path == RESPONSES else "max_completion_tokens"
    body = sent(path, {name: 7}, max_output_tokens=100)
    assert {field: body[field] for field in body if field.startswith("max_")} == {own: 7}
