"""Reads JSON from untrusted sources, where any field may hold a value of any type."""

from __future__ import annotations

import json
from typing import Any

from chat_stream.surrogates import well_formed

# Limits the objects and lists in one JSON text: each takes about fifty times as much memory as its
# characters. A document of 8 MiB with the log probabilities of every token has some 200,000.
MAX_CONTAINERS = 250_000


def parsed(data: str) -> Any:
    """The JSON value in `data`, or `data` itself if it is not JSON.

    Raises RecursionError for JSON that is nested too deeply or holds more than MAX_CONTAINERS.
    """
    if len(data) > MAX_CONTAINERS:
        check_containers(data)
    try:
        return json.loads(data)
    except ValueError:
        return data


def check_containers(data: str | bytes) -> None:
    """Raise RecursionError for JSON with more objects and lists than any answer has (MAX_CONTAINERS)."""
    opening: tuple[Any, Any] = ("{", "[") if isinstance(data, str) else (b"{", b"[")
    if sum(map(data.count, opening)) > MAX_CONTAINERS:
        raise RecursionError(f"more than {MAX_CONTAINERS} objects and lists in one JSON text")


def parsed_object(data: str) -> dict[str, Any]:
    """The JSON object in `data`, or an empty one if it holds anything else. Never raises."""
    try:
        return object_in(parsed(data))
    except RecursionError:
        return {}


def text_in(value: Any) -> str | None:
    """The string, made well-formed; None for an empty one and for any other type."""
    return well_formed(value) if isinstance(value, str) and value else None


def index_in(value: Any) -> int | None:
    """An index into a list, which some upstreams send as a string or a float; None for anything else."""
    if isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdigit():
        return int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def list_in(value: Any) -> list[Any]:
    """The list; an empty one for any other type."""
    return value if isinstance(value, list) else []


def object_in(value: Any) -> dict[str, Any]:
    """The object; an empty one for any other type."""
    return value if isinstance(value, dict) else {}


def arguments_in(value: Any) -> str:
    """A call's arguments, or a piece of them, as text. Some upstreams send an object [opencode#37841]."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of the document in strict JSON: NaN and infinities become null, lone surrogates U+FFFD.

    Raises RecursionError for a document that is nested too deeply.
    """
    text = well_formed(json.dumps(document, ensure_ascii=False))
    copy: dict[str, Any] = json.loads(text, parse_constant=lambda _: None)
    return copy
