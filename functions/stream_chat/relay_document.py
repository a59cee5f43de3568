"""Answers that are not streamed, and documents that the upstream sends where events were requested."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial

from chat_stream.dialects.dialect import Dialect
from chat_stream.dialects.failures import failure_of
from chat_stream.json_values import check_containers, strict
from chat_stream.memory_bound import MAX_PIECE_BYTES
from chat_stream.reading import last_events
from chat_stream.sse import EventStreamParser
from recorded_answer import RecordedAnswer
from upstream.failures import not_an_answer, reported

TOO_DEEP = "a document that is nested too deeply"


def whole_document(answer: RecordedAnswer) -> bytes:
    """Read and record an answer that is not streamed; returns the JSON document for the caller.

    It is the upstream's own document, so that no field of it is lost. Some gateways send events whatever they
    are asked for: the document is then assembled from them.

    Raises:
        UpstreamError: there is no whole answer, or the upstream reports an error in a form that the caller's
            API does not have.
        AnswerTooLargeError: the answer is larger than the relay keeps.
    """
    if answer.exchange.body.is_document:
        body = answer.exchange.read_document()
        document = _parsed_document(body, answer.dialect)
        chat_events = answer.dialect.document_events(document, answer.expected_choices)
        answer.record(chat_events, answer.elapsed_ms())
    else:
        document, body = _assembled_document(answer)
    failed = answer.failed
    if failed and not (
        answer.dialect.is_failed_answer(document)
        and answer.may_pass_on(failed, body.decode("utf-8", "replace"))
    ):
        raise reported(failed)
    return body


def stream_of_document(answer: RecordedAnswer) -> bytes:
    """The event stream that stands for the document which the upstream has sent in place of events.

    Raises UpstreamError: the document is neither an answer nor an error, or is nested too deeply.
    """
    document = _parsed_document(answer.exchange.read_document(), answer.dialect)
    try:
        document = strict(document)  # Python reads NaN, but a client's JSON parser would stop at it
        if answer.dialect.is_answer(document):
            return answer.dialect.document_stream(document)
        return b"data: " + _json(document) + b"\n\n"
    except RecursionError:
        raise not_an_answer(TOO_DEEP) from None


def _assembled_document(answer: RecordedAnswer) -> tuple[dict[str, object], bytes]:
    assembler = answer.dialect.assembler(answer.expected_choices)
    decoder = answer.dialect.decoder(answer.expected_choices)
    parser = EventStreamParser(MAX_PIECE_BYTES)
    for events in answer.read_by(answer.exchange.body.chunks(), parser.feed, partial(last_events, parser)):
        for event in events:
            assembler.add(event)
            chat_events = decoder.decode(event)
            answer.record(chat_events, answer.elapsed_ms())
            if chat_events or answer.dialect.is_progress(event):
                answer.exchange.limits.restart_idle(done=answer.is_done)
        if answer.failed:
            break
    answer.check_end()
    try:
        document = assembler.document()
        return document, _json(document)
    except RecursionError:
        raise not_an_answer(TOO_DEEP) from None


def _parsed_document(body: bytes, dialect: Dialect) -> dict[str, object]:
    """The JSON object in a body, which holds an answer or an error."""
    try:
        check_containers(body)
        document = json.loads(body)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        document = {}
    if not (dialect.is_answer(document) or failure_of(document)):
        raise not_an_answer("a document that is no answer")
    return document


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")
