"""Values of JSON that somebody else wrote: anything may stand anywhere."""

from __future__ import annotations

import json
from typing import Any

from chat_stream.surrogates import well_formed

# Objects and lists in one JSON text, each of which takes fifty times what it shows there. A document of 8 MiB
# with the probabilities of every token has some 200,000.
MAX_CONTAINERS = 250_000


def parsed(data: str) -> Any:
    """The JSON value, or the data itself where it is none.

    Raises RecursionError for one that is too deep, or holds more than MAX_CONTAINERS.
    """
    if len(data) > MAX_CONTAINERS:
        check_containers(data)
    try:
        return json.loads(data)
    except ValueError:
        return data


def check_containers(data: str | bytes) -> None:
    """Raise RecursionError for JSON that holds so many objects and lists that no answer can be meant."""
    opening: tuple[Any, Any] = ("{", "[") if isinstance(data, str) else (b"{", b"[")
    if sum(map(data.count, opening)) > MAX_CONTAINERS:
        raise RecursionError(f"more than {MAX_CONTAINERS} objects and lists in one JSON text")


def parsed_object(data: str) -> dict[str, Any]:
    """The JSON object, or an empty one in place of anything else. Never raises."""
    try:
        return object_in(parsed(data))
    except RecursionError:
        return {}


def text_in(value: Any) -> str | None:
    """A non-empty string, well-formed; "" and null mean absent."""
    return well_formed(value) if isinstance(value, str) and value else None


def index_in(value: Any) -> int | None:
    """A place in a list, which some send as a text or a float; None for anything that is no place."""
    if isinstance(value, str) and len(value) < 10 and value.isascii() and value.isdigit():
        return int(value)
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and value >= 0 else None


def list_in(value: Any) -> list[Any]:
    """The list, or an empty one in place of anything else."""
    return value if isinstance(value, list) else []


def object_in(value: Any) -> dict[str, Any]:
    """The object, or an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def arguments_in(value: Any) -> str:
    """A call's arguments as text, or a piece of it; some send an object instead [opencode#37841]."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def strict(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of the document in strict JSON: NaN and infinities are null, lone surrogates U+FFFD.

    Raises RecursionError for a document that is too deep.
    """
    text = well_formed(json.dumps(document, ensure_ascii=False))
    copy: dict[str, Any] = json.loads(text, parse_constant=lambda _: None)
    return copy
