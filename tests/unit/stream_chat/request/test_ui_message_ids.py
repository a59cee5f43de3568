"""The ids in UI messages: of the message that the answer continues, and of tool calls."""

from __future__ import annotations

from typing import Any

import pytest

from request.ui_messages import call_ids, continued_message_id

TEXT = {"type": "text", "text": "a"}


def call(call_id: str) -> dict[str, Any]:
    return {"type": "tool-f", "toolCallId": call_id, "state": "output-available", "input": {}, "output": "x"}


def ui(role: str, *parts: object, **fields: Any) -> dict[str, Any]:
    return {"id": "m1", "role": role, "parts": list(parts), **fields}


def test_the_last_message_is_continued_if_it_is_the_assistants() -> None:
    user, assistant = ui("user", TEXT, id="u1"), ui("assistant", call("call_1"), id="a1")
    assert continued_message_id([user, assistant]) == "a1"
    assert continued_message_id([user, assistant, user]) is None


@pytest.mark.parametrize(
    "messages", [None, [], "x", [5], [{}], [ui("assistant", id=None)], [ui("assistant", id="")]]
)
def test_a_message_without_an_id_is_not_continued(messages: object) -> None:
    assert continued_message_id(messages) is None


def test_call_ids_are_those_of_all_messages_in_any_state() -> None:
    unfinished = {**call("call_2"), "state": "input-streaming"}
    messages = [ui("assistant", call("call_1"), unfinished), ui("user", TEXT, {"type": "data-x"})]
    assert call_ids(messages) == {"call_1", "call_2"}
