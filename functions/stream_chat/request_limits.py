"""What a request may ask for: models, fields, the number of messages, the length of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from relay_error import RequestError
from settings import Settings
from wildcards import fits

# Each an upper bound of the answer's tokens, in OpenAI's two APIs.
CHAT_OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens")
RESPONSE_OUTPUT_FIELD = "max_output_tokens"


def check_request(body: Mapping[str, Any], settings: Settings) -> None:
    """Refuse what FORBIDDEN_FIELDS, ALLOWED_MODELS and MAX_MESSAGES do not let through.

    Raises:
        RequestError: 400 naming the field.
    """
    for name, value in body.items():
        if value is not None and fits(name, settings.forbidden_fields):
            raise RequestError(
                400, "field_not_allowed", f"This relay does not allow `{name}` in a request.", param=name
            )
    if settings.allowed_models:
        for param, model in _models_besides(body):
            check_model(model, settings, param)
    for name in ("messages", "input"):
        value = body.get(name)
        if isinstance(value, list) and len(value) > settings.max_messages:
            message = f"`{name}` holds {len(value)} items; this relay takes at most {settings.max_messages}."
            raise RequestError(400, "too_many_messages", message, param=name)


def check_model(model: object, settings: Settings, param: str = "model") -> None:
    """Refuse a model that ALLOWED_MODELS does not name.

    Raises:
        RequestError: 400 naming the field.
    """
    if not (isinstance(model, str) and settings.allows_model(model)):
        raise RequestError(
            400, "model_not_allowed", f"This relay does not allow the model in `{param}`.", param=param
        )


def _models_besides(body: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Models that a request names elsewhere than in `model`, which gateways would turn to all the same.

    OpenRouter takes `models`, LiteLLM `fallbacks`, `context_window_fallbacks` and the like; OpenAI's tool for
    images has a `model`. Whatever text stands there is taken for one: rather one too many than one too few.
    """
    for name, value in body.items():
        if name == "models" or name.endswith("fallbacks"):
            yield from _texts(name, value)
    tools = body.get("tools")
    for index, tool in enumerate(tools if isinstance(tools, list) else ()):
        if isinstance(tool, dict) and tool.get("model") is not None:
            yield f"tools[{index}].model", tool["model"]


def _texts(param: str, value: object) -> Iterator[tuple[str, object]]:
    pending = [(param, value)]  # no recursion: a body may be nested nearly as deep as Python goes
    while pending:
        where, value = pending.pop()
        if isinstance(value, list):
            pending += [(f"{where}[{index}]", item) for index, item in enumerate(value)]
        elif isinstance(value, dict):
            pending += [(where, name) for name in value if name != "model"]
            pending += [(f"{where}.{name}", item) for name, item in value.items()]
        elif value is not None:
            yield where, value


def capped_chat(body: Mapping[str, Any], settings: Settings, choices: int) -> dict[str, Any]:
    """The request, asking for no more output tokens than MAX_OUTPUT_TOKENS; all its choices share them.

    Of several bounds the lowest is sent, as OUTPUT_TOKENS_FIELD: a field that the upstream does not know
    would bound nothing, and OpenAI refuses two.

    Raises:
        RequestError: 400 naming the field, if the request asks for more.
    """
    cap = settings.max_output_tokens
    if cap is None:
        return dict(body)
    asked = [_asked(body, name, cap // choices, settings) for name in CHAT_OUTPUT_FIELDS]
    if not cap // choices:
        raise RequestError(
            400, "too_many_choices", f"`n` must be at most {cap}, as many tokens as there are.", param="n"
        )
    rest = {name: value for name, value in body.items() if name not in CHAT_OUTPUT_FIELDS}
    bound = min([cap // choices, *(tokens for tokens in asked if tokens is not None)])
    return {**rest, settings.output_tokens_field: bound}


def capped_response(body: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The same for the Responses API, which has one field for it.

    Raises:
        RequestError: 400 naming the field.
    """
    cap = settings.max_output_tokens
    if cap is None:
        return dict(body)
    asked = _asked(body, RESPONSE_OUTPUT_FIELD, cap, settings)
    return {**body, RESPONSE_OUTPUT_FIELD: cap if asked is None else asked}


def _asked(body: Mapping[str, Any], name: str, cap: int, settings: Settings) -> int | None:
    tokens = body.get(name)
    if tokens is None:
        return None
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
        raise RequestError(400, "invalid_value", f"`{name}` must be a whole number above 0.", param=name)
    if tokens > cap:
        message = f"`{name}` is too large: this relay allows {settings.max_output_tokens} for one request"
        raise RequestError(400, "too_many_tokens", f"{message}, {cap} for each of its choices.", param=name)
    return tokens
