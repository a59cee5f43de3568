"""An event is written anew with the cost, and everything else in it stays."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from chat_stream.sse import EventStreamParser, ServerSentEvent
from pricing.cost import Cost
from rendering.usage_cost import document_with_cost, event_with_cost

CHUNK = '{"choices":[],"usage":{"total_tokens":3}}'
SHOWN = '{"choices":[],"usage":{"total_tokens":3,"cost":1.25e-05}}'


def known() -> Cost:
    return Cost(Decimal("0.0000125"), "p/m")


def only_event(stream: str) -> ServerSentEvent:
    parser = EventStreamParser()
    events = parser.feed(stream.encode())
    event = events[0] if events else parser.end()
    assert event is not None
    return event


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_other_fields_and_the_line_ends_stay(end: str) -> None:
    lines = [
        ": a comment",
        "id: 7",
        "event: usage",
        f"data: {CHUNK}",
        "database: no field",
        "retry: 5",
        "",
        "",
    ]
    expected = end.join(lines).replace(CHUNK, SHOWN)
    assert event_with_cost(only_event(end.join(lines)), known) == expected.encode()


def test_several_data_lines_become_one() -> None:
    head, tail = CHUNK.split(",", 1)
    event = only_event(f"data:{head},\nid: 7\ndata: {tail}\n\n")
    assert event_with_cost(event, known) == f"data: {SHOWN}\nid: 7\n\n".encode()


def test_a_byte_order_mark_hides_no_usage() -> None:
    assert event_with_cost(only_event(f"\ufeffdata: {CHUNK}\n\n"), known) == f"data: {SHOWN}\n\n".encode()


def test_an_event_without_its_blank_line_gets_none() -> None:
    assert event_with_cost(only_event(f"data: {CHUNK}"), known) == f"data: {SHOWN}".encode()


@pytest.mark.parametrize(
    "data",
    [
        '{"choices":[{"delta":{"content":"a"},"finish_reason":null}],"usage":{"total_tokens":3}}',
        '{"choices":[],"usage":{"total_tokens":3,"cost":0.5}}',
        '{"choices":[],"usage":{"total_tokens":NaN}}',
        '{"choices":[],"usage":null}',
        '{"usage":{"a":' + "[" * 100_000 + "]" * 100_000 + "}}",
        "[DONE]",
    ],
    ids=("so far", "own", "nan", "none", "deep", "sentinel"),
)
def test_any_other_event_stays_as_it_came(data: str) -> None:
    event = only_event(f"data: {data}\n\n")
    assert event_with_cost(event, known) == event.raw


def test_usage_in_other_places_gets_the_cost_there() -> None:
    for document in (
        {"x_groq": {"usage": {"total_tokens": 3}}},
        {"choices": [{"finish_reason": "stop", "usage": {"total_tokens": 3}}]},
        {"type": "response.completed", "response": {"usage": {"total_tokens": 3}}},
    ):
        shown = json.dumps(document, separators=(",", ":")).replace("3}", '3,"cost":null}')
        assert document_with_cost(document, lambda: None) == shown.encode()
