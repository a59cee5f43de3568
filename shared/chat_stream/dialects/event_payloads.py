"""What the data of a server-sent event holds in both dialects: JSON objects and the sentinel `[DONE]`."""

from __future__ import annotations

from typing import Any, Literal

from chat_stream.json_values import parsed


def payloads_in(data: str) -> list[dict[str, Any] | Literal["[DONE]"]]:
    """The JSON objects and sentinels in an event's data; [] for any other data.

    Data that is not JSON counts only if every line of it does. Raises RecursionError for JSON that is nested
    too deeply.
    """
    if data.strip() == "[DONE]":
        return ["[DONE]"]
    document = parsed(data)
    if isinstance(document, dict):
        return [document]
    return payloads_by_line(data) if document is data else []


def payloads_by_line(data: str) -> list[dict[str, Any] | Literal["[DONE]"]]:
    """The JSON objects and sentinels in data that has one on each line; [] if any line holds something else.

    Some upstreams separate events by a single newline, which the parser reads as one event
    [eventsource-parser#31].
    Raises RecursionError for JSON that is nested too deeply.
    """
    lines = [line.strip() for line in data.split("\n")]
    values: list[Any] = [line if line == "[DONE]" else parsed(line) for line in lines if line]
    return values if all(isinstance(value, dict) or value == "[DONE]" for value in values) else []
