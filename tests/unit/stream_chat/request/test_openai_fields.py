"""The tables of OpenAI's own fields against the types of its Python library, so that they do not age
unseen."""

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


def test_every_field_of_openais_and_no_other_is_known() -> None:
    assert CHAT_COMPLETIONS.fields == members(completion_create_params.CompletionCreateParamsStreaming)
    assert RESPONSES.fields == members(response_create_params.ResponseCreateParamsStreaming)


def test_every_tool_of_openais_and_no_other_is_known_with_its_members() -> None:
    assert CHAT_COMPLETIONS.tools == tools(chat_completion_tool_union_param.ChatCompletionToolUnionParam)
    assert RESPONSES.tools == tools(tool_param.ToolParam)


def test_tools_that_run_at_the_callers_are_tools() -> None:
    assert set(CALLERS_TOOLS) < RESPONSES.tools.keys()
