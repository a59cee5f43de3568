"""The upstream's data as fuzz targets: the parser, the decoders and renderers, and documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from chat_stream.dialects.dialect import CHAT_COMPLETIONS, Dialect, responses_dialect
from chat_stream.events import AnswerFailed, ChatEvent
from chat_stream.json_values import strict
from chat_stream.sse import EventStreamParser, EventTooLargeError, ServerSentEvent
from chat_stream.transcripts.transcript import Interruption, Transcript, TranscriptBuilder, UpstreamTrace
from errors import UpstreamError
from rendering.formats import STREAM_RENDERERS
from rendering.timings import RelayTimings
from request.chat_request import AnswerFormat, ChatRequest
from tests.fuzz.fuzz_timing import Seen
from tests.fuzz.in_process_function import UPSTREAM_KEY
from tests.fuzz.targets.reads import even_reads, reads_of_events, uneven_reads
from tests.fuzz.transcript_checks import check_storable, refuse_constant
from tests.support.plain_reading import check_reading
from upstream import failures

MAX_EVENT_BYTES = 256  # small, so that inputs exceed it
IN_RUNS = 32  # flag in the first byte of an input: read it with text runs as well

# -- the parser --------------------------------------------------------------------------------------------


def parse_events(data: bytes) -> Seen:
    """Any bytes give the same events in any reads. The first byte selects the reads and the size limit."""
    steer, body = (data[0], data[1:]) if data else (0, b"")
    if steer & 128:
        return _parse_capped(body, steer & 127)
    whole = _parsed(body, [body])
    for reads in (even_reads(body, 1), even_reads(body, 0), uneven_reads(body, steer)):
        again = _parsed(body, reads)
        # A CR at the end of a read ends its line at once, and the LF after it begins the next event's `raw`.
        assert [event[:4] for event in again] == [event[:4] for event in whole]
    return Seen("events" if whole else "none")


def _parsed(body: bytes, reads: Sequence[bytes]) -> list[ServerSentEvent]:
    parser = EventStreamParser()
    events = [event for read in reads for event in parser.feed(read)]
    assert b"".join(event.raw for event in events) + parser.rest == body, "a byte was lost or invented"
    return events


def _parse_capped(body: bytes, steer: int) -> Seen:
    """With a small limit: events within it are returned; from the first larger one on, feeds are refused."""
    parser, events = EventStreamParser(MAX_EVENT_BYTES), []
    reads = uneven_reads(body, steer)
    for number, read in enumerate(reads):
        try:
            events += parser.feed(read)
        except EventTooLargeError:
            for later in reads[number + 1 : number + 3]:
                try:
                    parser.feed(later)
                except EventTooLargeError:
                    continue
                raise AssertionError("a feed after the refusal was accepted") from None
            return Seen("capped: too large")
    assert all(len(event.raw) <= MAX_EVENT_BYTES for event in events)
    return Seen("capped")


# -- the decoders and the renderers ------------------------------------------------------------------------

_RECORDED = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "parameters": {"stream": True}}
_STARTED_AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
_BROKEN_OFF = Interruption(
    "truncated", "upstream_interrupted", "The upstream broke off before the answer's end."
)


def decode_events(data: bytes) -> Seen:
    """Any event stream as an answer in either dialect: decoded, recorded, rendered and assembled.

    A stream without an error gives the same result with text runs. The first byte selects the options.
    """
    steer, body = (data[0], data[1:]) if data else (0, b"")
    dialect = responses_dialect() if steer & 1 else CHAT_COMPLETIONS
    formats: Sequence[AnswerFormat] = [name for name in STREAM_RENDERERS if name != "responses-sse"]
    if steer & 1:
        formats = ["responses-sse"]
    chat = ChatRequest(
        "/v1",
        b"{}",
        "sse",
        bool(steer & 2),
        1 + (steer >> 2) % 3,
        _RECORDED,
        dialect,
        "msg" if steer & 64 else None,
    )
    renderers = {name: STREAM_RENDERERS[name](chat, "r-1", RelayTimings(), None) for name in formats}
    sent: dict[str, list[bytes | None]] = {name: [] for name in formats}
    choices = chat.expected_choices
    decoder, assembler, builder = dialect.decoder(choices), dialect.assembler(choices), _builder(choices)
    parser = EventStreamParser()
    for number, event in enumerate(parser.feed(body)):
        assembler.add(event)
        chat_events = decoder.decode(event)
        _record(builder, chat_events, number)
        dialect.is_progress(event)
        if builder.failed:
            error = failures.reported(builder.failed)
            for name, renderer in renderers.items():
                sent[name] += [
                    renderer.content_beside_error(event, chat_events),
                    renderer.reported_failure(event, error),
                ]
            break
        for name, renderer in renderers.items():
            sent[name].append(renderer.render(event, chat_events))
    if not builder.failed:
        if steer & IN_RUNS:
            check_reading(reads_of_events(body), lambda: dialect.decoder(choices))
        for name, renderer in renderers.items():
            is_over = builder.is_terminal
            sent[name].append(
                renderer.end(parser.rest) if is_over else renderer.failure(failures.interrupted())
            )
    for format_, pieces in sent.items():
        _check_rendered(format_, b"".join(piece for piece in pieces if piece is not None))
    _strict_or_too_deep(assembler.document)
    transcript = _finished(builder)
    check_storable(transcript, ("full", "answer", "none"))
    return Seen(transcript.outcome)


def _builder(expected_choices: int) -> TranscriptBuilder:
    return TranscriptBuilder(
        id="r-1",
        caller="web",
        route="/v1/chat/completions",
        request=_RECORDED,
        started_at=_STARTED_AT,
        expected_choices=expected_choices,
    )


def _record(builder: TranscriptBuilder, chat_events: Sequence[ChatEvent], elapsed_ms: int) -> None:
    for chat_event in chat_events:
        if isinstance(chat_event, AnswerFailed):
            chat_event = failures.presentable(chat_event, _redacted)
        builder.add(chat_event, elapsed_ms)


def _redacted(text: str) -> str:
    return text.replace(UPSTREAM_KEY, "[redacted]")


def _finished(builder: TranscriptBuilder) -> Transcript:
    interruption = None if builder.is_terminal else _BROKEN_OFF
    return builder.finish(
        1000, interruption=interruption, upstream=UpstreamTrace(attempts=1, request_id=None)
    )


def _check_rendered(name: str, data: bytes) -> None:
    if name == "text":
        data.decode()
    elif name == "event-source":
        parser = EventStreamParser()
        parser.feed(data)
        assert parser.last_event_id == ("r-1" if data else "")
    elif name == "ui-message":
        assert data.isascii()
        *parts, rest = data.decode().split("\n\n")
        assert rest == ""
        for part in parts:
            assert part.startswith("data: ")
            if part != "data: [DONE]":
                assert isinstance(json.loads(part[6:], parse_constant=refuse_constant)["type"], str)


def _strict_or_too_deep(document: Callable[[], Mapping[str, Any]]) -> None:
    """Assert that the document is strict JSON, or too deeply nested, which the relay answers with 502."""
    try:
        json.dumps(document(), allow_nan=False).encode()
    except RecursionError:
        return


# -- documents ---------------------------------------------------------------------------------------------


def read_document(data: bytes) -> Seen:
    """Any bytes as the document of an answer or an error. The first byte selects dialect and status."""
    steer, body = (data[0], data[1:]) if data else (0, b"")
    _check_refusal(400 + (steer >> 1) % 128, body)
    dialect = responses_dialect() if steer & 1 else CHAT_COMPLETIONS
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return Seen("no JSON")
    if not isinstance(document, dict):
        return Seen("no object")
    if not (dialect.is_answer(document) or document.get("error")):
        return Seen("no answer")
    builder = _builder(1)
    _record(builder, dialect.document_events(document, 1), 1)
    dialect.is_failed_answer(document)
    check_storable(_finished(builder))
    try:
        made_bytes = _check_document_stream(dialect, strict(document))
    except RecursionError:
        return Seen("too deep")
    return Seen("error" if builder.failed else "answer", made_bytes)


def _check_refusal(status: int, body: bytes) -> None:
    document = failures.error_document(body, _redacted)
    if document is not None:
        assert document.isascii()
        assert json.loads(document)["error"]
    error: UpstreamError = failures.refusal(status, {}, document)
    assert 400 <= error.status <= 504
    assert error.details().keys() >= {"message", "type", "param", "code"}
    assert json.loads(error.document())["error"]


def _check_document_stream(dialect: Dialect, document: dict[str, Any]) -> int:
    """Assert that the dialect can decode and assemble the stream of a document.

    Returns the length of the stream in bytes.
    """
    if not dialect.is_answer(document):
        return 0
    stream = dialect.document_stream(document)
    assert stream.isascii()
    parser, decoder, assembler = EventStreamParser(), dialect.decoder(1), dialect.assembler(1)
    for event in parser.feed(stream):
        json.loads(event.data, parse_constant=refuse_constant) if event.data != "[DONE]" else None
        decoder.decode(event)
        assembler.add(event)
    assert parser.rest == b""
    _strict_or_too_deep(assembler.document)
    return len(stream)
