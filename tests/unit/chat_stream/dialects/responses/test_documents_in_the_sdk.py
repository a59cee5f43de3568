"""The openai package reads the streams and the documents that are made here."""

from __future__ import annotations

import httpx
import openai
from openai.lib.streaming.responses import ResponseStreamEvent
from openai.types.responses import ParsedResponse, Response
from openai.types.responses import ResponseStreamEvent as RawEvent
from pydantic import TypeAdapter

from chat_stream.dialects.responses.documents import response_stream
from tests.support.dialects.response_documents import (
    FAILED,
    INCOMPLETE,
    OUTPUT,
    RESPONSE,
    assembled,
    events_of,
    sent,
)

STREAM_EVENT: TypeAdapter[RawEvent] = TypeAdapter(RawEvent)


def read_by_the_sdk(stream: bytes) -> tuple[list[ResponseStreamEvent[None]], ParsedResponse[None] | None]:
    """The events that `client.responses.stream()` reads from the stream, and its final response."""

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, content=stream)

    with (
        httpx.Client(transport=httpx.MockTransport(answer)) as http,
        openai.OpenAI(api_key="any", http_client=http, max_retries=0) as client,  # type: ignore[arg-type]
        client.responses.stream(model="m", input="x") as events,
    ):
        seen = list(events)
        completed = any(event.type == "response.completed" for event in seen)
        return seen, events.get_final_response() if completed else None


def test_sdk_reads_the_stream_of_a_document_as_that_document() -> None:
    events, final = read_by_the_sdk(response_stream(RESPONSE))
    assert final is not None
    Response.model_validate(RESPONSE, strict=True)
    plain = Response.model_validate(RESPONSE)
    assert final.output_text == "Zażółć 👋"
    assert [item.type for item in final.output] == [item["type"] for item in OUTPUT]
    assert final.usage == plain.usage
    snapshots = [event.snapshot for event in events if event.type == "response.output_text.delta"]
    assert snapshots == ["Zażółć 👋"]
    [arguments] = [event for event in events if event.type == "response.function_call_arguments.delta"]
    assert arguments.snapshot == '{"city":"Paris"}'
    assert {type(event).__name__ for event in events} >= {
        "ResponseReasoningSummaryTextDeltaEvent",
        "ResponseRefusalDeltaEvent",
        "ResponseCustomToolCallInputDeltaEvent",
        "ResponseMcpCallArgumentsDeltaEvent",
        "ResponseContentPartDoneEvent",
    }


def test_sdk_reads_the_streams_of_incomplete_and_failed_documents() -> None:
    for document, ending in ((INCOMPLETE, "response.incomplete"), (FAILED, "response.failed")):
        events, _ = read_by_the_sdk(response_stream(document))
        last = events[-1]
        assert last.type == ending
        assert last.response.model_dump(mode="json", exclude_unset=True) == document  # type: ignore[union-attr]


def test_every_event_of_the_stream_is_valid_for_the_sdk() -> None:
    for event in events_of(RESPONSE):
        STREAM_EVENT.validate_python(event)


def test_sdk_reads_an_assembled_document() -> None:
    events = events_of(RESPONSE)
    events[-1]["response"]["output"] = []
    response = Response.model_validate(assembled(map(sent, events)))
    assert response.output_text == "Zażółć 👋"
    assert response.model_dump(mode="json", exclude_unset=True) == RESPONSE
