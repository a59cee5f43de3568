"""How many tokens a prompt has: the estimate and the bound."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quota.prompt_tokens import IMAGE_BOUND, IMAGE_ESTIMATE, PromptTokens, prompt_tokens

WINDOW = 400_000
BASE64 = "iVBORw0KGgo+" * 40_000  # more bytes than the window has tokens
IMAGE = f"data:image/png;base64,{BASE64}"
PDF = f"data:application/pdf;base64,{BASE64}"
HTTPS = "https://example.com/sky.png"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def chat(*messages: Any, **parameters: Any) -> PromptTokens:
    return prompt_tokens({"messages": list(messages), **parameters}, WINDOW)


def responses(*items: Any, **parameters: Any) -> PromptTokens:
    return prompt_tokens({"input": list(items), **parameters}, WINDOW)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def output(*parts: Any) -> dict[str, Any]:
    return {"type": "function_call_output", "call_id": "c", "output": list(parts)}


# -- text --------------------------------------------------------------------------------------------------


def test_a_short_question_with_its_json_has_a_handful_of_tokens() -> None:
    assert 4 <= chat(user("hi")).estimate <= 10  # OpenAI counts 8


def test_text_has_about_one_token_for_four_bytes_and_at_most_one_for_each() -> None:
    for text in ("word " * 1000, "\U0001f9d1" * 1250, "%$§q7" * 900, BASE64[:5000]):
        size = len(text.encode())
        tokens = chat(user(text))
        assert size / 4 <= tokens.estimate <= size / 4 + 20
        assert size <= tokens.bound <= size + 100


@pytest.mark.parametrize(
    "parameters",
    [
        {"instructions": "word " * 1000},
        {"tools": [{"type": "function", "function": {"name": "look", "description": "word " * 1000}}]},
        {
            "functions": [
                {"name": "look", "parameters": {"properties": {"api_key": {"description": "word " * 1000}}}}
            ]
        },
        {
            "response_format": {
                "type": "json_schema",
                "json_schema": {"schema": {"description": "word " * 1000}},
            }
        },
        {"prediction": {"type": "content", "content": [{"type": "text", "text": "word " * 1000}]}},
        {"x_vendor": {"system": "word " * 1000}},
    ],
)
def test_every_field_that_may_be_part_of_the_prompt_counts(parameters: dict[str, Any]) -> None:
    bare, tokens = chat(user("hi")), chat(user("hi"), **parameters)
    assert 1250 <= tokens.estimate - bare.estimate <= 1280
    assert 5000 <= tokens.bound - bare.bound <= 5300


def test_numbers_and_flags_hardly_count_but_huge_numbers_count_by_digits() -> None:
    parameters = {"temperature": 0.7, "stream": True, "seed": 7, "stop": None}
    assert chat(user("hi"), **parameters).estimate - chat(user("hi")).estimate <= 12
    assert chat(user("hi"), seed=10**4000).bound >= 4000


@given(request=st.dictionaries(st.sampled_from(["messages", "input", "tools", "prompt", "x"]), JSON))
def test_any_request_has_at_least_one_token_and_at_most_its_bound(request: Any) -> None:
    tokens = prompt_tokens(request, WINDOW)
    assert 1 <= tokens.estimate <= tokens.bound


@given(content=JSON)
def test_the_bound_of_text_is_at_least_the_bytes_of_its_strings(content: Any) -> None:
    strings = json.dumps({"x": content}, ensure_ascii=False, separators=("", ""))
    length = len(strings.replace("\\", "").encode("utf-8", "surrogatepass"))
    assert prompt_tokens({"x": content}, 10**9).bound * 2 >= length


def test_any_depth_of_nesting_is_counted() -> None:
    deep: Any = "word"
    for depth in range(100_000):
        deep = [deep] if depth % 2 else {"a": deep}
    for request in (
        {"messages": [user(deep)]},
        {"messages": [user([{"type": "x", "y": deep}])]},
        {"tools": [deep]},
    ):
        assert prompt_tokens(request, 10**9).estimate > 12_500


@pytest.mark.parametrize("value", ["", {"a": 1}, [[]]], ids=str)
def test_many_small_values_are_counted_in_linear_time(value: Any) -> None:
    few, many = [value] * 10_000, [value] * 80_000

    def counting_s(values: list[Any]) -> float:
        began = time.process_time()
        chat(user(values))
        return time.process_time() - began

    # If time were quadratic, eight times as many values would take 64 times as long.
    assert counting_s(many) < 24 * min(counting_s(few) for _ in range(3)) + 0.05


# -- images and files --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tokens",
    [
        chat(user([{"type": "image_url", "image_url": {"url": IMAGE, "detail": "high"}}])),
        chat({"role": "assistant", "images": [{"type": "image_url", "image_url": {"url": IMAGE}}]}),
        responses(user([{"type": "input_image", "image_url": IMAGE}])),
        responses(output({"type": "input_image", "image_url": IMAGE})),
        responses(
            {"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": IMAGE}}
        ),
        responses({"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": BASE64}),
    ],
)
def test_an_image_counts_as_providers_count_it_whatever_its_size(tokens: PromptTokens) -> None:
    assert IMAGE_ESTIMATE <= tokens.estimate <= IMAGE_ESTIMATE + 40
    assert IMAGE_BOUND <= tokens.bound <= IMAGE_BOUND + 300
    assert tokens.elsewhere is None


def test_each_image_counts_and_so_does_the_text_beside_it() -> None:
    part = {"type": "image_url", "image_url": {"url": IMAGE, "detail": "word " * 1000}}
    tokens = chat(user([part, part]), user([part]))
    assert 3 * IMAGE_ESTIMATE + 3750 <= tokens.estimate < 3 * IMAGE_ESTIMATE + 3900


FILES = [
    {"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}},
    {"type": "input_file", "filename": "a.pdf", "file_data": BASE64},
    {"type": "input_audio", "input_audio": {"data": BASE64, "format": "wav"}},
    {"type": "video_url", "video_url": {"url": f"data:video/mp4;base64,{BASE64}"}},
    {"type": "image_url", "image_url": {"url": PDF}},
    {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{'%' * len(BASE64)}"}},
    {"type": "image_url", "image_url": {"url": f"data:image/png,{BASE64}"}},
    {"type": "image_url", "file_data": BASE64, "image_url": {"url": "data:text/plain;base64,QQ=="}},
    {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": BASE64}},
    {"type": ["image_url"], "image_url": {"url": IMAGE}},
]


@pytest.mark.parametrize("part", FILES, ids=lambda part: str(part["type"]))
def test_any_other_file_counts_by_its_bytes_and_at_most_as_a_context_window(part: dict[str, Any]) -> None:
    for tokens in (chat(user([part])), chat(user(part)), responses(output(part))):
        assert len(BASE64) / 4 <= tokens.estimate < len(BASE64) / 4 + 60
        assert tokens.bound == WINDOW


def test_a_small_file_may_expand_to_any_length() -> None:
    part = {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERi0="}}
    assert chat(user([part])).bound == WINDOW
    assert chat(user([part])).estimate < 100


NOT_READ = [
    {"role": "tool", "tool_call_id": "c", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]},
    {"role": "developer", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]},
    {"role": "system", "content": [{"type": "input_image", "image_url": IMAGE}]},
    {"role": "user", "content": IMAGE},
    {"role": "user", "content": [{"type": "text", "text": IMAGE}]},
    {"role": "user", "content": [{"type": "text", "image_url": {"url": IMAGE}}]},
    {"role": "user", "content": [[{"type": "image_url", "image_url": {"url": IMAGE}}]]},
    {
        "role": "user",
        "content": [{"type": "tool_result", "content": [{"type": "image_url", "image_url": {"url": IMAGE}}]}],
    },
    {"role": "user", "image_url": {"url": IMAGE}, "content": "hi"},
    {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "f", "arguments": {"image_url": {"url": IMAGE}}}}],
    },
    {"role": "assistant", "tool_calls": [{"type": "image_url", "image_url": {"url": IMAGE}}]},
    {
        "role": "assistant",
        "tool_calls": [{"function": {"arguments": json.dumps({"image_url": {"url": IMAGE}})}}],
    },
    {"type": "function_call", "name": "f", "arguments": {"image_url": {"url": IMAGE}}},
    {"type": "reasoning", "encrypted_content": BASE64},
]


@pytest.mark.parametrize("message", NOT_READ, ids=range(len(NOT_READ)))
def test_an_image_in_a_place_where_the_api_reads_none_is_text(message: dict[str, Any]) -> None:
    for tokens in (chat(message), responses(message)):
        assert tokens.estimate >= len(BASE64) / 4
        assert tokens.bound == WINDOW


@pytest.mark.parametrize(
    "name", ["tools", "functions", "response_format", "text", "prediction", "metadata", "x"]
)
def test_a_schema_or_parameter_contains_no_image_or_file(name: str) -> None:
    part = {"type": "image_url", "image_url": {"url": IMAGE}}
    schema = {"type": "object", "properties": {"image_url": {"url": IMAGE}, "file_data": part}}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    tokens = prompt_tokens({"messages": [user("hi")], name: [tool]}, 10**9)
    assert tokens.estimate >= 2 * len(BASE64) / 4


# -- content stored elsewhere ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tokens", "where"),
    [
        (responses(user("hi"), previous_response_id="r"), "previous_response_id"),
        (responses(user("hi"), conversation={"id": "c"}), "conversation"),
        (prompt_tokens({"prompt": {"id": "p"}}, WINDOW), "prompt"),
        (chat(user([{"type": "image_url", "image_url": {"url": HTTPS}}])), "messages[0].content"),
        (chat(user([{"type": "file", "file": {"file_id": "file-1"}}])), "messages[0].content"),
        (
            chat(user([{"type": "input_audio", "input_audio": {"data": "gs://b/a.wav"}}])),
            "messages[0].content",
        ),
        (chat(user("hi"), {"role": "assistant", "audio": {"id": "a"}}), "messages[1].audio"),
        (responses(user([{"type": "input_image", "image_url": HTTPS}])), "input[0].content"),
        (responses(user([{"type": "input_image", "file_id": "f", "image_url": IMAGE}])), "input[0].content"),
        (responses(user([{"type": "input_file", "file_url": "HTTPS://x/y"}])), "input[0].content"),
        (responses(output({"type": "input_file", "file_id": "f"})), "input[0].output"),
        (responses({"type": "item_reference", "id": "m"}), "input[0]"),
        (responses({"id": "m"}), "input[0]"),
    ],
)
def test_a_reference_to_stored_content_counts_as_a_context_window(tokens: PromptTokens, where: str) -> None:
    assert tokens == (WINDOW, WINDOW, where)


@pytest.mark.parametrize(
    "kind", ["web_search", "file_search", "mcp", "code_interpreter", "shell", "x:search", None, []]
)
def test_a_hosted_tool_adds_a_context_window(kind: Any) -> None:
    tool = {"type": kind}
    assert responses(user("hi"), tools=[tool]) == (2 * WINDOW, 2 * WINDOW, "tools")
    space = {"type": "namespace", "tools": [tool, {"type": "function"}]}
    assert responses(user("hi"), tools=[space]).estimate == 2 * WINDOW
    assert responses({"type": "additional_tools", "tools": [tool]}).elsewhere == "input[0].tools"


def test_the_search_of_chat_completions_counts_even_with_empty_options() -> None:
    assert chat(user("hi"), web_search_options={}).elsewhere == "web_search_options"
    assert chat(user("hi"), web_search_options=None).elsewhere is None


def test_a_conversation_that_is_sent_in_full_refers_to_nothing_else() -> None:
    cited = {"type": "output_text", "text": "so", "annotations": [{"type": "file_citation", "file_id": "f"}]}
    items = [
        user([{"type": "input_text", "text": f"see {HTTPS}"}]),
        {"id": "m", "type": "message", "role": "assistant", "content": [cited]},
        {
            "id": "f",
            "type": "function_call",
            "name": "f",
            "arguments": json.dumps({"file_id": "f", "url": HTTPS}),
        },
        {"type": "function_call_output", "call_id": "c", "output": HTTPS},
        {"id": "s", "type": "file_search_call", "results": [{"file_id": "f", "text": "found"}]},
        {"id": "l", "type": "mcp_list_tools", "tools": [{"name": "t", "input_schema": {}}]},
    ]
    tools = [{"type": "function", "name": "f", "parameters": {"properties": {"file_id": {"default": HTTPS}}}}]
    tokens = responses(*items, tools=tools, previous_response_id=None)
    assert tokens.elsewhere is None
    assert tokens.bound < 2500
