"""The limits of one request: models, fields, the number of messages, the length of the answer."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from errors import RequestError
from request.openai_fields import CHAT_COMPLETIONS, RESPONSES, Api
from settings import Settings
from settings_reading.wildcards import matches_any

# The upper bounds of the answer's tokens: two fields of chat completions, and that of responses.
OUTPUT_FIELDS = ("max_completion_tokens", "max_tokens", "max_output_tokens")
RESPONSE_OUTPUT_FIELD = "max_output_tokens"

_OPENAIS = CHAT_COMPLETIONS.fields | RESPONSES.fields
_NAMES_MODELS = re.compile(r"(.*_)?models?|.*fallbacks|.*model_list", re.DOTALL)
_PLAIN_NAME = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")


def check_request(
    body: Mapping[str, Any], settings: Settings, api: Api, of_route: Collection[str] = ()
) -> None:
    """Refuse what FORBIDDEN_FIELDS, ALLOWED_MODELS and MAX_MESSAGES do not allow.

    If anything is limited, only the fields and tools of the upstream's `api` pass, those that ALLOWED_FIELDS
    names, and those of `of_route`, which are not sent to the upstream. Raises RequestError: 400 naming the
    field.
    """
    for name, value in body.items():
        if value is None:
            continue
        folded = name.casefold()
        # Servers written in Go ignore the case of field names, as Go's encoding/json does.
        is_case_variant = name != folded and folded in _OPENAIS
        if is_case_variant or _is_forbidden(name, settings) or _is_forbidden(folded, settings):
            raise _not_allowed(name)
        is_known = name in api.fields or name in OUTPUT_FIELDS or name in of_route
        if settings.limits_requests and not (is_known and _is_plain(name, value)):
            _check_admitted(name, name, value, settings, api)
    if settings.limits_requests:
        for param, tools in _tool_lists(body):
            _check_tools(param, tools, settings, api)
    if settings.allowed_models:
        for param, model in _other_models(body):
            check_model(model, settings, param)
    for name in ("messages", "input"):
        check_count(body.get(name), settings, name)


def check_count(items: object, settings: Settings, param: str) -> None:
    """Refuse more messages, or input items, than MAX_MESSAGES. Raises RequestError: 400 naming the field."""
    if isinstance(items, list) and len(items) > settings.max_messages:
        message = f"`{param}` has {len(items)} entries; at most {settings.max_messages} are allowed."
        raise RequestError(400, "too_many_messages", message, param=param)


def _is_forbidden(name: str, settings: Settings) -> bool:
    return matches_any(name, settings.forbidden_fields)


def _not_allowed(name: str) -> RequestError:
    message = f"This relay does not allow `{name}` in a request."
    return RequestError(400, "field_not_allowed", message, param=name)


def check_model(model: object, settings: Settings, param: str = "model") -> None:
    """Refuse a model that ALLOWED_MODELS does not name. Raises RequestError: 400 naming the field."""
    if not (isinstance(model, str) and settings.allows_model(model)):
        raise RequestError(
            400, "model_not_allowed", f"This relay does not allow the model in `{param}`.", param=param
        )


def _is_plain(name: str, value: object) -> bool:
    """Whether a field has only content that OpenAI allows in it: LiteLLM reads objects in `metadata`."""
    if name != "metadata":
        return True
    return isinstance(value, dict) and all(text is None or isinstance(text, str) for text in value.values())


def _other_models(body: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Models that OpenAI's own fields name in addition to `model`. LiteLLM splits a model at commas."""
    model = body.get("model")
    if isinstance(model, str) and "," in model:
        for part in model.split(","):
            yield "model", part.strip()
    moderation = body.get("moderation")
    if isinstance(moderation, dict) and moderation.get("model") is not None:
        yield "moderation.model", moderation["model"]


# -- tools -------------------------------------------------------------------------------------------------


def _tool_lists(body: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    """Every place of tools in a request: items of a Responses input may contain tools as well."""
    if body.get("tools") is not None:
        yield "tools", body["tools"]
    items = body.get("input")
    for index, item in enumerate(items if isinstance(items, list) else ()):
        if isinstance(item, dict) and item.get("tools") is not None and item.get("type") != "mcp_list_tools":
            yield f"input[{index}].tools", item["tools"]


def _check_tools(param: str, tools: object, settings: Settings, api: Api) -> None:
    if _is_forbidden("tools", settings):
        raise _not_allowed(param)
    pending = [(param, tools)]
    while pending:
        param, tools = pending.pop()
        if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
            raise RequestError(400, "invalid_value", f"`{param}` must be a list of objects.", param=param)
        for index, tool in enumerate(tools):
            where = f"{param}[{index}]"
            _check_tool(where, tool, settings, api)
            if tool.get("tools") is not None:
                pending.append((f"{where}.tools", tool["tools"]))


def _check_tool(where: str, tool: Mapping[str, Any], settings: Settings, api: Api) -> None:
    kind = tool.get("type")
    kind = kind if isinstance(kind, str) else ""
    if _is_forbidden(f"tools.{kind}".casefold(), settings):
        raise _not_allowed(where)
    members = api.tools.get(kind)
    if members is None:
        _check_admitted(f"tools.{kind}", where, tool, settings, api)
        return
    for member, value in tool.items():
        if value is not None and member not in members:
            _check_admitted(f"tools.{member}", f"{where}.{member}", value, settings, api)
    if settings.allowed_models and tool.get("model") is not None:
        check_model(tool["model"], settings, f"{where}.model")


# -- fields that are not OpenAI's ---------------------------------------------------------------------------


def _check_admitted(name: str, where: str, value: object, settings: Settings, api: Api) -> None:
    """Refuse a field that ALLOWED_FIELDS does not name, and content of allowed fields that evades a limit.

    It is unknown how a gateway reads a field that is not OpenAI's. So at any depth, a member with the name of
    a model field, a token bound or a forbidden field is treated as one. An object in `fallbacks` is a request
    of its own, which LiteLLM sends to another model: its fields must be allowed like those of any request.
    """
    if not matches_any(name.casefold(), settings.allowed_fields):
        raise _unknown(where, name)
    pending: list[tuple[str, object, bool]] = [(name.rpartition(".")[2], value, False)]
    while pending:  # no recursion: a body may be nested almost as deep as Python's limit
        key, held, is_fallback = pending.pop()
        folded = key.casefold()
        if settings.allowed_models and _NAMES_MODELS.fullmatch(folded):
            for model in _models_in(held):
                check_model(model, settings, where)
        is_fallback = is_fallback or folded.endswith("fallbacks")
        if isinstance(held, list):
            pending += [("", item, is_fallback) for item in held]
        elif isinstance(held, dict):
            is_request = is_fallback and any(inner.casefold() == "model" for inner in held)
            for inner, value in held.items():
                if value is not None:
                    _check_member(inner, f"{where}.{inner}", value, settings, api if is_request else None)
            pending += [(inner, item, is_fallback and not is_request) for inner, item in held.items()]


def _check_member(inner: str, where: str, value: object, settings: Settings, api: Api | None) -> None:
    folded = inner.casefold()
    if _is_forbidden(folded, settings):
        raise _not_allowed(where)
    cap = settings.max_output_tokens
    if cap is not None and folded in OUTPUT_FIELDS:
        _asked({where: value}, where, cap, settings)
    if cap is not None and folded == "n" and value != 1:
        raise RequestError(400, "too_many_choices", f"`{where}` must be 1.", param=where)
    if api is None:
        return
    is_known = inner in api.fields or inner in OUTPUT_FIELDS
    if not is_known and not matches_any(folded, settings.allowed_fields):
        raise _unknown(where, inner)
    if inner == "tools":
        _check_tools(where, value, settings, api)


def _unknown(where: str, name: str) -> RequestError:
    named = f" names `{name}`" if _PLAIN_NAME.fullmatch(name) else " names it"
    message = f"`{where}` is not one of OpenAI's fields: this relay accepts it only if ALLOWED_FIELDS{named}."
    return RequestError(400, "field_not_allowed", message, param=where)


def _models_in(value: object) -> Iterator[object]:
    """The models in a field for models: strings, the items of lists, and the `model` of objects.

    An object without a `model` may map models to their fallbacks, as in LiteLLM, so its names and values all
    count.
    """
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending += value
        elif isinstance(value, dict):
            own = [held for inner, held in value.items() if inner.casefold() == "model"]
            pending += own or [*value, *value.values()]
        elif value is not None:
            yield value


# -- tokens of the answer ------------------------------------------------------------------------------------


def capped_chat(body: Mapping[str, Any], settings: Settings, choices: int) -> dict[str, Any]:
    """The request with a bound of at most MAX_OUTPUT_TOKENS output tokens, which all its choices share.

    The lowest of several bounds is sent, as OUTPUT_TOKENS_FIELD: a field that the upstream does not know
    would bound nothing, and OpenAI refuses two bounds. Raises RequestError: 400 naming the field, if the
    request asks for more.
    """
    cap = settings.max_output_tokens
    if cap is None:
        return dict(body)
    if not cap // choices:
        raise RequestError(
            400, "too_many_choices", f"`n` must be at most {cap}, one token for each choice.", param="n"
        )
    return _capped(body, settings.output_tokens_field, cap // choices, settings)


def capped_response(body: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The same for the Responses API, which has one field for the bound.

    Raises RequestError: 400 naming the field.
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
