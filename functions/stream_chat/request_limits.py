"""What a request may ask for: models, fields, the number of messages, the length of an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from relay_error import RequestError
from settings import Settings
from wildcards import fits

# Each an upper bound of the answer's tokens: two of chat completions, and that of responses.
OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
RESPONSE_OUTPUT_FIELD = "max_output_tokens"

# What the limits look at. Servers written in Go read any spelling of a field, as Go's encoding/json does.
_LIMITED = frozenset(
    (
        *OUTPUT_FIELDS, "background", "extra_body", "input", "messages", "model", "models", "n", "plugins",
        "prompt", "stream", "stream_options", "tools",
    )
)  # fmt: skip

# What LiteLLM and OpenRouter lay over a request or read models from, past everything that is looked at here.
_OVERLAYS = ("extra_body", "model_list", "preset", "router_settings_override", "user_config")


def check_request(body: Mapping[str, Any], settings: Settings) -> None:
    """Refuse what FORBIDDEN_FIELDS, ALLOWED_MODELS and MAX_MESSAGES do not let through.

    Raises:
        RequestError: 400 naming the field.
    """
    for name, value in body.items():
        if value is None:
            continue
        folded = name.casefold()
        is_twin = name != folded and (folded in _LIMITED or folded.endswith("fallbacks"))
        if is_twin or fits(name, settings.forbidden_fields) or fits(folded, settings.forbidden_fields):
            raise _not_allowed(name)
    if settings.allowed_models or settings.forbidden_fields or settings.max_output_tokens:
        for name in _OVERLAYS:
            if body.get(name) is not None:
                raise _not_allowed(name)
    if settings.allowed_models:
        for param, model in _models_besides(body):
            check_model(model, settings, param)
    for name in ("messages", "input"):
        check_count(body.get(name), settings, name)


def check_count(items: object, settings: Settings, param: str) -> None:
    """Refuse more messages, or items of an input, than MAX_MESSAGES.

    Raises:
        RequestError: 400 naming the field.
    """
    if isinstance(items, list) and len(items) > settings.max_messages:
        message = f"`{param}` makes {len(items)} messages; this relay takes at most {settings.max_messages}."
        raise RequestError(400, "too_many_messages", message, param=param)


def _not_allowed(name: str) -> RequestError:
    message = f"This relay does not allow `{name}` in a request."
    return RequestError(400, "field_not_allowed", message, param=name)


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

    OpenRouter takes `models`, LiteLLM `fallbacks`, `context_window_fallbacks` and the like; tools and plugins
    have a `model`. Whatever text stands there is taken for one: rather one too many than one too few. And of
    two models with a comma between them, LiteLLM asks both.
    """
    for name, value in body.items():
        if name == "models" or name.endswith("fallbacks"):
            for model in _leaves(value):
                yield name, model
        elif name in ("tools", "plugins"):
            for model in _called_model(value):
                yield f"{name}.model", model
    model = body.get("model")
    if isinstance(model, str) and "," in model:
        for part in model.split(","):
            yield "model", part.strip()


def _called_model(value: object) -> Iterator[str]:
    """Every text in a field `model`, however deep; a schema that is called so is none."""
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += value.values()
            model = value.get("model")
            if isinstance(model, str):
                yield model


def _leaves(value: object) -> Iterator[object]:
    """All values within, and the names of fields but `model`: LiteLLM maps a model to its fallbacks."""
    pending = [value]  # no recursion: a body may be nested nearly as deep as Python goes
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            pending += (name for name in value if name != "model")
            pending += value.values()
        elif value is not None:
            yield value


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
    if not cap // choices:
        raise RequestError(
            400, "too_many_choices", f"`n` must be at most {cap}, as many tokens as there are.", param="n"
        )
    return _capped(body, settings.output_tokens_field, cap // choices, settings)


def capped_response(body: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The same for the Responses API, which has one field for it.

    Raises:
        RequestError: 400 naming the field.
    """
    cap = settings.max_output_tokens
    return dict(body) if cap is None else _capped(body, RESPONSE_OUTPUT_FIELD, cap, settings)


def _capped(body: Mapping[str, Any], field: str, cap: int, settings: Settings) -> dict[str, Any]:
    asked = [_asked(body, name, cap, settings) for name in OUTPUT_FIELDS]
    rest = {name: value for name, value in body.items() if name not in OUTPUT_FIELDS}
    return {**rest, field: min([cap, *(tokens for tokens in asked if tokens is not None)])}


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
