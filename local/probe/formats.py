"""The formats of an answer: how each is asked for, and what an answer in it says (pure)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from chat_stream.json_values import list_in, object_in, parsed_object
from chat_stream.sse import EventStreamParser
from local.probe.arrivals import RelayTimings

LAST_WORD = "END"
QUESTION = f"Count from 1 to 60 in digits, separated by spaces, and finish with the word {LAST_WORD}."
BRIEF_QUESTION = f"Reply with the one word {LAST_WORD}."

Request = tuple[str, str, Mapping[str, Any] | None, Mapping[str, str]]  # method, path, body, headers


class Reading(NamedTuple):
    """What the body of an answer says.

    Args:
        text: the model's words.
        is_complete: whether the format's own end is there.
        error: the error that it reports, if any.
        timings: the relay's timings, in the format that reports them.
    """

    text: str
    is_complete: bool
    error: str = ""
    timings: RelayTimings | None = None


class Format(NamedTuple):
    """One format of an answer.

    Args:
        request: from the question and the model's name (empty: none) to the request.
        media_type: the answer's.
        read: from the whole body to what it says.
        is_streamed: whether the pieces should arrive one by one.
        has_end: whether a cut answer can be told from a whole one.
    """

    request: Callable[[str, str], Request]
    media_type: str
    read: Callable[[bytes], Reading]
    is_streamed: bool = True
    has_end: bool = True


def _posted(path: str, field: str, **fields: Any) -> Callable[[str, str], Request]:
    def request(question: str, model: str) -> Request:
        content: Any = question
        if field == "messages":
            message: dict[str, Any] = {"role": "user", "content": question}
            if path == "/api/chat":
                message = {"id": "1", "role": "user", "parts": [{"type": "text", "text": question}]}
            content = [message]
        return "POST", path, {field: content, **fields, **({"model": model} if model else {})}, {}

    return request


def _queried(question: str, model: str) -> Request:
    path = f"/chatCompletion?message={quote(question, safe='')}"
    named = f"{path}&model={quote(model, safe='')}" if model else path
    return "GET", named, None, {"accept": "text/event-stream"}


def _documents(body: bytes) -> tuple[list[dict[str, Any]], bool]:
    """The JSON object of each event of a stream (or an empty one), and whether its sentinel is there."""
    data = [event.data for event in EventStreamParser().feed(body)]
    return [parsed_object(text) for text in data], "[DONE]" in data


def _error_in(document: Mapping[str, Any]) -> str:
    error = document.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error.get("code") or "an error without words")
    return str(error) if error else ""


def _choice(document: Mapping[str, Any], part: str) -> str:
    try:
        return str(document["choices"][0][part]["content"] or "")
    except (KeyError, IndexError, TypeError):
        return ""


def _read_text(body: bytes) -> Reading:
    return Reading(body.decode("utf-8", "replace"), is_complete=True)


def _read_chunks(body: bytes) -> Reading:
    documents, is_done = _documents(body)
    text = "".join(_choice(document, "delta") for document in documents)
    return Reading(text, is_done, next(filter(None, map(_error_in, documents)), ""))


def _read_completion(body: bytes) -> Reading:
    document = parsed_object(body.decode("utf-8", "replace"))
    text = _choice(document, "message")
    return Reading(text, document.get("object") == "chat.completion", _error_in(document))


def _read_parts(body: bytes) -> Reading:
    parts, is_done = _documents(body)
    text = "".join(str(part.get("delta", "")) for part in parts if part.get("type") == "text-delta")
    finish = next((part for part in parts if part.get("type") == "finish"), None)
    error = next((str(part.get("errorText", "")) for part in parts if part.get("type") == "error"), "")
    return Reading(text, is_done and finish is not None, error, _timings(finish or {}))


def _timings(finish: Mapping[str, Any]) -> RelayTimings | None:
    try:
        timings = finish["messageMetadata"]["timings"]
        first_ms, last_ms = float(timings["firstEventMs"]), float(timings["lastEventMs"])
        return RelayTimings(
            (last_ms - first_ms) / 1000, float(timings["longestPauseMs"]) / 1000, int(timings["reads"])
        )
    except (KeyError, TypeError, ValueError):
        return None


def _read_response_events(body: bytes) -> Reading:
    events, _ = _documents(body)
    deltas = (event for event in events if event.get("type") == "response.output_text.delta")
    text = "".join(str(event.get("delta", "")) for event in deltas)
    is_complete = any(event.get("type") == "response.completed" for event in events)
    failed = (event for event in events if event.get("type") in ("error", "response.failed"))
    error = next((_error_in(event.get("response") or event) or "it failed" for event in failed), "")
    return Reading(text, is_complete, error)


def _read_response(body: bytes) -> Reading:
    document = parsed_object(body.decode("utf-8", "replace"))
    items = map(object_in, list_in(document.get("output")))
    parts = (object_in(part) for item in items for part in list_in(item.get("content")))
    text = "".join(str(part.get("text", "")) for part in parts if part.get("type") == "output_text")
    return Reading(text, document.get("status") == "completed", _error_in(document))


EVENTS, JSON = "text/event-stream", "application/json"
UI_MESSAGES = "UI messages"
COMPLETION = "chat completion"
CHUNKS = "chat completion, streamed"
RESPONSE, RESPONSE_EVENTS = "response", "response, streamed"

# UI messages first: they report the relay's timings, with which the other formats' are compared.
FORMATS: Mapping[str, Format] = {
    UI_MESSAGES: Format(_posted("/api/chat", "messages", id="probe"), EVENTS, _read_parts),
    "text": Format(_posted("/chatCompletion", "messages"), "text/plain", _read_text, has_end=False),
    "EventSource": Format(_queried, EVENTS, _read_chunks),
    CHUNKS: Format(_posted("/v1/chat/completions", "messages", stream=True), EVENTS, _read_chunks),
    COMPLETION: Format(
        _posted("/v1/chat/completions", "messages"), JSON, _read_completion, is_streamed=False
    ),
    RESPONSE_EVENTS: Format(_posted("/v1/responses", "input", stream=True), EVENTS, _read_response_events),
    RESPONSE: Format(_posted("/v1/responses", "input"), JSON, _read_response, is_streamed=False),
}
