"""Turns an HTTP request into a chat request: what each route expects of a body."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, Literal, NamedTuple

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, Dialect, responses_dialect
from errors import RequestError
from request.credentials import without_credentials
from request.http_request import HttpRequest
from request.json_size import MAX_JSON_SIZE, is_too_large
from request.limits import capped_chat, capped_response, check_count, check_model, check_request
from request.openai_fields import CHAT_COMPLETIONS as CHAT_FIELDS
from request.openai_fields import RESPONSES as RESPONSE_FIELDS
from request.openai_fields import Api
from settings import Settings

# The routes as transcripts and logs name them, whether the caller's path has the `/v1` or not.
COMPLETIONS = "/v1/chat/completions"
RESPONSES = "/v1/responses"
UI_CHAT = "/api/chat"
CHAT = "/chatCompletion"

AnswerFormat = Literal["text", "sse", "event-source", "responses-sse", "ui-message", "json"]

# A response needs no input if one of these names content that the upstream keeps. OpenAI ends `prompt` on
# 2026-11-30.
_IN_PLACE_OF_INPUT = ("prompt", "previous_response_id", "conversation")

# Fields that useChat sends for the route and not for the model.
_OF_USE_CHAT = ("id", "messages", "trigger", "messageId")


class ChatRequest(NamedTuple):
    """A validated request for an answer."""

    route: str  # the route that the request used
    upstream_body: bytes  # JSON for the upstream, ASCII-escaped
    answer_format: AnswerFormat  # how the caller gets the answer; `json` is not streamed
    # Whether the caller gets a chunk that only reports usage; otherwise it is for the relay.
    usage_wanted: bool
    expected_choices: int  # how many choices (`n`) must end before the answer has ended
    recorded: Mapping[str, Any]  # `model`, `messages` and the other `parameters` as the transcript keeps them
    dialect: Dialect = CHAT_COMPLETIONS  # the API that the upstream is asked in
    # The id of the UI message that the answer continues; None for a new message.
    continued_message_id: str | None = None
    # The ids of the tool calls in the UI messages, which no call of the answer may repeat.
    call_ids: frozenset[str] = frozenset()
    cost_wanted: bool = False  # whether the usage that the caller gets shows the cost


def parse_completion(http: HttpRequest, settings: Settings) -> ChatRequest:
    """`POST /v1/chat/completions`: OpenAI's own request; fields that the relay does not know pass through.

    Raises RequestError: 400 naming the field.
    """
    body = _checked_body(http, settings)
    return _chat_request(COMPLETIONS, body, "sse" if _flag(body, "stream") else "json", settings)


def parse_response(http: HttpRequest, settings: Settings) -> ChatRequest:
    """`POST /v1/responses`: OpenAI's own request; fields that the relay does not know pass through.

    Raises RequestError: 400 naming the field.
    """
    body = _checked_body(http, settings, RESPONSE_FIELDS)
    streamed = _flag(body, "stream")
    if _flag(body, "background") and not streamed:
        message = "A `background` response must be streamed: no route of this relay can fetch it later."
        raise _invalid("background", message)
    messages = _input(body)
    # A stored prompt may name its own model, which must not bypass ALLOWED_MODELS.
    takes_prompts_model = body.get("model") is None and body.get("prompt") and not settings.allowed_models
    model = None if takes_prompts_model else _model(body, settings)
    named = body if model is None else {**body, "model": model}
    upstream = {**capped_response(named, settings), "stream": streamed}
    return ChatRequest(
        route=RESPONSES,
        # No stream requested: pass on the upstream's own document, which is more faithful than one assembled
        # from events. (If the upstream streams anyway, the document is assembled and nothing is lost.)
        upstream_body=_ascii_json(upstream),
        answer_format="responses-sse" if streamed else "json",
        usage_wanted=True,  # the last event reports it
        expected_choices=1,
        recorded=_recorded(model, messages, body, ("model", "input")),
        dialect=responses_dialect(),
        cost_wanted=settings.usage_cost,
    )


def parse_question(http: HttpRequest, settings: Settings) -> ChatRequest:
    """`GET /chatCompletion?message=…`: one question in the URL, for curl and the like.

    Raises RequestError: 400 naming the parameter.
    """
    query = {name: http.query.get(name, "") for name in ("message", "model")}
    body = _with_messages(query)
    check_request(body, settings, CHAT_FIELDS)
    return _chat_request(CHAT, body, _streamed_format(http), settings)


def parse_conversation(http: HttpRequest, settings: Settings) -> ChatRequest:
    """`POST /chatCompletion` with `{messages, model?, …}`: always streamed, as text unless SSE is accepted.

    Hooks that can only send strings send `{message, model?, …}`, like the query of a GET. Raises
    RequestError: 400 naming the field.
    """
    body = _json_object(http.body)
    if "message" in body:
        body = _with_messages(body)
    check_request(body, settings, CHAT_FIELDS)
    return _chat_request(CHAT, body, _streamed_format(http), settings)


def parse_ui_conversation(http: HttpRequest, settings: Settings) -> ChatRequest:
    """`POST /api/chat`, as the AI SDK's useChat sends it: `{id, messages: UIMessage[], trigger, …}`.

    Fields that an application adds (`model`, `tools`, `temperature`, …) are sent to the upstream. Raises
    RequestError: 400 naming the field, or the part of a message that cannot be sent.
    """
    # No other route's first byte waits for it.
    from request.ui_messages import call_ids, continued_message_id, openai_messages

    body = _checked_body(http, settings, of_route=_OF_USE_CHAT)
    messages = openai_messages(body.get("messages"))
    asked = {name: value for name, value in body.items() if name not in _OF_USE_CHAT}
    chat = _chat_request(UI_CHAT, {**asked, "messages": messages}, "ui-message", settings)
    recorded = _recorded(chat.recorded["model"], messages, body, ("model", "messages"))
    return chat._replace(
        recorded=recorded,
        continued_message_id=continued_message_id(body["messages"]),
        call_ids=call_ids(body["messages"]),
    )


def refuse_reconnect(http: HttpRequest, chat: ChatRequest) -> None:
    """Stop a browser's EventSource that has reconnected because its answer has ended.

    The model must not be asked, and paid, a second time. `EventSourceRenderer` sends the id. "Any other HTTP
    response code not listed here" ends the reconnecting (section 9.2.1 of the standard); the 204 that is
    listed would be a streamed answer with an empty body.

    Raises:
        RequestError: 410 for a reconnect.
    """
    if chat.answer_format == "event-source" and http.headers.get("last-event-id"):
        message = "The answer with this Last-Event-ID has ended. Ask again without the header."
        raise RequestError(410, "answer_ended", message)


def _chat_request(
    route: str, body: dict[str, Any], answer_format: AnswerFormat, settings: Settings
) -> ChatRequest:
    """Check the fields that the relay relies on, and write the body for the upstream."""
    messages = _messages(body)
    check_count(messages, settings, "messages")  # one UI message may have become many
    model = _model(body, settings)
    options = _stream_options(body)
    choices = _choices(body)
    # As in `parse_response`: without a stream the caller gets the upstream's own document.
    upstream = {**capped_chat(body, settings, choices), "model": model, "stream": answer_format != "json"}
    if answer_format != "json" and settings.include_usage:
        # Otherwise OpenAI streams no usage, and the transcript would not show what the answer cost.
        upstream["stream_options"] = {**options, "include_usage": True}
    return ChatRequest(
        route=route,
        upstream_body=_ascii_json(upstream),
        answer_format=answer_format,
        # The relay hides usage only if it was the relay that added `include_usage`.
        usage_wanted=options.get("include_usage") is True or not settings.include_usage,
        expected_choices=choices,
        recorded=_recorded(model, messages, body, ("model", "messages")),
        cost_wanted=settings.usage_cost,
    )


def _recorded(
    model: str | None, messages: list[Any], body: Mapping[str, Any], other_than: tuple[str, ...]
) -> dict[str, Any]:
    parameters = {name: value for name, value in body.items() if name not in other_than}
    return {"model": model, "messages": messages, "parameters": without_credentials(parameters)}


def _streamed_format(http: HttpRequest) -> AnswerFormat:
    return "event-source" if http.accepts("text/event-stream") else "text"


def _checked_body(
    http: HttpRequest, settings: Settings, api: Api = CHAT_FIELDS, of_route: Collection[str] = ()
) -> dict[str, Any]:
    body = _json_object(http.body)
    check_request(body, settings, api, of_route)
    return body


def _json_object(body: bytes) -> dict[str, Any]:
    if is_too_large(body):
        message = (
            f"The request body has more than {MAX_JSON_SIZE} JSON values and names; send fewer, larger ones."
        )
        raise RequestError(400, "too_many_values", message)
    try:
        document = json.loads(body, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):  # the message does not quote the body, which may hold a prompt
        raise RequestError(400, "invalid_json", "The request body is not valid JSON.") from None
    if not isinstance(document, dict):
        raise RequestError(400, "invalid_json", "The request body must be a JSON object.")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")  # RFC 8259, section 6: no NaN, no Infinity


def _ascii_json(document: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")
    except (ValueError, RecursionError):
        message = "The request body contains a number that JSON cannot represent, or is nested too deeply."
        raise RequestError(400, "invalid_json", message) from None


def _invalid(param: str, message: str) -> RequestError:
    return RequestError(400, "invalid_value", message, param=param)


def _with_messages(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with its one `message` as the `messages` of a chat completion."""
    message, model = body.get("message"), body.get("model")
    rest = {name: value for name, value in body.items() if name not in ("message", "messages", "model")}
    named = {} if model in (None, "") else {"model": model}
    if body.get("messages") is not None:
        if message is not None:
            raise _invalid(
                "message", "Send `message` for one question or `messages` for a conversation, not both."
            )
        return {"messages": body["messages"], **named, **rest}
    if message is not None and not isinstance(message, str):
        raise _invalid("message", "`message` must be a string; a conversation is a list in `messages`.")
    if not message or not message.strip():
        raise RequestError(400, "missing_message", "The request needs a `message`.", param="message")
    return {"messages": [{"role": "user", "content": message}], **named, **rest}


def _messages(body: Mapping[str, Any]) -> list[Any]:
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise _invalid("messages", "`messages` must be a list of at least one message.")
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or not isinstance(message.get("role"), str):
            raise _invalid(f"messages[{index}]", f"`messages[{index}]` must be an object with a `role`.")
    return messages


def _input(body: Mapping[str, Any]) -> list[Any]:
    """The input items of a Responses request; a string becomes one user message."""
    given = body.get("input")
    if isinstance(given, str) and given:
        return [{"role": "user", "content": given}]
    if isinstance(given, list) and given:
        for index, item in enumerate(given):
            if not isinstance(item, dict):
                raise _invalid(f"input[{index}]", f"`input[{index}]` must be an object.")
        return given
    if given in (None, "", []) and any(map(body.get, _IN_PLACE_OF_INPUT)):
        return []
    raise _invalid("input", "`input` must be a string or a list of at least one item.")


def _model(body: Mapping[str, Any], settings: Settings) -> str:
    model = body.get("model")
    if model is None:
        model = settings.default_model
    if not isinstance(model, str) or not model:
        raise _invalid("model", "`model` must be the name of a model.")
    check_model(model, settings)
    return model


def _flag(body: Mapping[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise _invalid(name, f"`{name}` must be true or false.")
    return value is True


def _stream_options(body: Mapping[str, Any]) -> Mapping[str, Any]:
    options = body.get("stream_options")
    if options is not None and not isinstance(options, dict):
        raise _invalid("stream_options", "`stream_options` must be an object.")
    return options or {}


def _choices(body: Mapping[str, Any]) -> int:
    n = body.get("n")
    if n is None:
        return 1
    if not isinstance(n, int) or isinstance(n, bool) or not 1 <= n <= 128:  # OpenAI's own limit
        raise _invalid("n", "`n` must be a whole number from 1 to 128.")
    return n
