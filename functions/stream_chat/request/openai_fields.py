"""OpenAI's own fields and kinds of tools: what a request may contain if anything is limited.

Taken from the types of OpenAI's Python library 3.54.0 in November 2026. test_openai_fields.py compares the
tables with the installed version.

A list of forbidden names is never complete, because each gateway and server gives a meaning to more names
(LiteLLM's `fallbacks`, OpenRouter's `plugins`, llama.cpp's `n_predict`). So if anything is limited, a field
that is not listed here is refused unless ALLOWED_FIELDS names it. How deep the tables go depends on what a
gateway could turn into more models, more tokens or more tools:

- Fields of the request: all of them.
- Tools: their kinds, and the members of each kind. A gateway reads models (`analysis_models`) and tools
  of its own (`googleSearch`) there. The content of a member (a function's schema, a filter) is text or
  OpenAI's own.
- `metadata`: its values are strings, as in OpenAI's API. LiteLLM reads lists and objects there as routing
  tags and settings.
- Messages, `stream_options`, `reasoning` and the like: not at all. Clients need members there that are not
  OpenAI's (`cache_control`, `reasoning_content`, `extra_content`), and no known gateway turns them into a
  model, tokens or a tool.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Api(NamedTuple):
    """One of OpenAI's two APIs."""

    fields: frozenset[str]  # names of a request's fields
    # Kind of a tool (its `type`) → names of its members, `type` among them.
    tools: Mapping[str, frozenset[str]]


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


CHAT_COMPLETIONS = Api(
    fields=_names("""
        audio frequency_penalty function_call functions logit_bias logprobs max_completion_tokens
        max_tokens messages metadata modalities model moderation n parallel_tool_calls prediction
        presence_penalty prompt_cache_key prompt_cache_options prompt_cache_retention reasoning_effort
        response_format safety_identifier seed service_tier stop store stream stream_options temperature
        tool_choice tools top_logprobs top_p user verbosity web_search_options
    """),
    tools={"custom": _names("type custom"), "function": _names("type function")},
)

_BY_CALLERS = _names("type allowed_callers")
_DESCRIBED = _names("async defer_loading description name") | _BY_CALLERS
_WEB_SEARCH = _names("type external_web_access filters search_context_size user_location")
_WEB_SEARCH_PREVIEW = _names("type search_content_types search_context_size user_location")
_IMAGE_GENERATION = _names("""
    type action background complexity frame_count frame_duration_ms input_fidelity input_image_mask model
    moderation output_compression output_format partial_images quality size svg
""")
_MCP = _BY_CALLERS | _names("""
    allowed_tools authorization connector_id defer_loading headers require_approval server_description
    server_label server_url tunnel_id
""")

RESPONSES = Api(
    fields=_names("""
        access_programs background background_options context_management conversation image include input
        instructions max_output_tokens max_tool_calls metadata model moderation parallel_tool_calls
        previous_response_id prompt prompt_cache_key prompt_cache_options prompt_cache_retention reasoning
        safety_identifier service_tier store stream stream_options temperature text tool_choice tools
        top_logprobs top_p truncation user
    """),
    tools={
        "apply_patch": _BY_CALLERS,
        "code_interpreter": _BY_CALLERS | {"container"},
        "computer": _names("type"),
        "computer_use_preview": _names("type display_height display_width environment"),
        "custom": _DESCRIBED | {"format"},
        "file_search": _names("type filters max_num_results ranking_options vector_store_ids"),
        "function": _DESCRIBED | _names("output_schema parameters strict"),
        "image_generation": _IMAGE_GENERATION,
        "local_shell": _names("type"),
        "mcp": _MCP,
        "namespace": _names("type description name tools"),
        "programmatic_tool_calling": _names("type"),
        "shell": _BY_CALLERS | {"environment"},
        "tool_search": _names("type description execution parameters"),
        "web_search": _WEB_SEARCH,
        "web_search_2025_08_26": _WEB_SEARCH,
        "web_search_preview": _WEB_SEARCH_PREVIEW,
        "web_search_preview_2025_03_11": _WEB_SEARCH_PREVIEW,
    },
)

# Tools that the caller runs. All others add content to the prompt from elsewhere and call the model again.
CALLERS_TOOLS = (
    "apply_patch", "computer", "computer_use_preview", "custom", "function", "local_shell", "namespace",
)  # fmt: skip
