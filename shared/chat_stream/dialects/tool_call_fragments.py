"""Tool call fragments: which call each belongs to, and what it adds to that call's arguments (pure)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from chat_stream.json_values import index_in, text_in
from chat_stream.memory_bound import GrowingText, MemoryBound

_PLACEHOLDER = re.compile(r"\s*(?:\{\s*\}|null)\s*")
_MAX_SPACING = 4  # how many times as long the same JSON may be with other spacing and escapes


class ToolCallPlaces:
    """Finds the tool call that each fragment of a choice belongs to. One for each choice."""

    def __init__(self) -> None:
        self._ids: list[str | None] = []  # of the calls, in the order in which they were opened
        self._at: dict[int | str, int] = {}  # the upstream's index of a call → its place
        self._first_with: dict[str, int] = {}  # a call's id → the first place with that id

    def place_of(self, fragment: Mapping[str, Any]) -> int:
        """The place of the fragment's call among the choice's calls. A new call takes the next place.

        Calls are distinguished by their index. A new id on a used index opens another call
        [hermes-agent#62940]. Without an index, a new id opens a call, and a fragment without an id continues
        the last call [openai-python#2806].
        """
        index = _index_of(fragment)
        call_id = text_in(fragment.get("id"))
        if index is not None:
            place = self._at.get(index)
        elif call_id:
            place = self._first_with.get(call_id)
        else:
            place = len(self._ids) - 1 if self._ids else None
        if place is None or (call_id and self._ids[place] not in (None, call_id)):
            place = len(self._ids)
            self._ids.append(None)
        if call_id:
            self._ids[place] = call_id
            self._first_with[call_id] = min(place, self._first_with.get(call_id, place))
        if index is not None:
            self._at[index] = place
        return place


def _index_of(fragment: Mapping[str, Any]) -> int | str | None:
    """The index that distinguishes calls; None if it is missing or invalid, such as -1."""
    index = fragment.get("index")
    number = index_in(index)
    if number is not None:
        return number
    return index if isinstance(index, str) and index and not index.startswith("-") else None


class CallArguments:
    """The arguments of one call as JSON text, without placeholders and repetitions.

    An empty object or null in front of the arguments is a placeholder [openai-agents-js#712]. Complete
    arguments may be sent a second time [autogen#7549]. Appended, either would make invalid JSON.
    """

    def __init__(self, bound: MemoryBound) -> None:
        self._bound = bound
        self._text = GrowingText()
        self._held = ""

    def add(self, fragment: str) -> str:
        """Take the next fragment and return what it adds. A possible placeholder is held back.

        Raises AnswerTooLargeError if the answer takes too much memory.
        """
        if not self._text.length and not self._held and _PLACEHOLDER.fullmatch(fragment):
            self._held = fragment
            return ""
        begins_anew = fragment.lstrip()[:1] in ("{", "[")
        if self._held and fragment.strip():
            fragment = fragment if begins_anew else self._held + fragment
            self._held = ""
        elif begins_anew and self._text.length and self._is_repeated_by(fragment):
            return ""
        self._keep(fragment)
        return fragment

    def __str__(self) -> str:
        return f"{self._text}{self._held}"

    def flush(self) -> str:
        """What was held back and turns out to be the arguments; "" if nothing was. Call once, at the end."""
        held, self._held = self._held, ""
        self._keep(held)
        return held

    def _keep(self, fragment: str) -> None:
        self._bound.take(len(fragment))
        self._text.add(fragment)

    def _is_repeated_by(self, fragment: str) -> bool:
        """Whether the fragment repeats the complete arguments. Takes time for its own length only."""
        if self._text.length > _MAX_SPACING * len(fragment):
            return False
        try:
            return bool(json.loads(fragment) == json.loads(str(self._text)))
        except (ValueError, RecursionError):
            return False
