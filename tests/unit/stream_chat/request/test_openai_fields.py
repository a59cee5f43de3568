"""The tables of OpenAI's fields match the types of its Python library, so they do not become outdated."""

from __future__ import annotations

from typing import Any, get_args, get_type_hints

from openai.types.chat import chat_completion_tool_union_param, completion_create_params
from openai.types.responses import response_create_params, tool_param

from request.openai_fields import CALLERS_TOOLS, CHAT_COMPLETIONS, RESPONSES


def members(of: Any) -> frozenset[str]:
    return frozenset(get_type_hints(of))


def tools(union: Any) -> dict[str, frozenset[str]]:
    return {
        kind: members(tool) for tool in get_args(union) for kind in get_args(get_type_hints(tool)["type"])
    }


def test_the_table_has_exactly_the_fields_of_openais_library() -> None:
    assert CHAT_COMPLETIONS.fields == members(completion_create_params.CompletionCreateParamsStreaming)
    assert RESPONSES.fields == members(response_create_params.ResponseCreateParamsStreaming)


def test_the_table_has_exactly_the_tools_and_members_of_openais_library() -> None:
    assert CHAT_COMPLETIONS.tools == tools(chat_completion_tool_union_param.ChatCompletionToolUnionParam)
    assert RESPONSES.tools == tools(tool_param.ToolParam)


def test_the_tools_that_callers_run_are_in_the_table() -> None:
    assert set(CALLERS_TOOLS) < RESPONSES.tools.keys()
