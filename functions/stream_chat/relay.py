"""The relay itself: one exchange with the upstream, one stream to the caller, one transcript of both."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from chat_stream.dialects.failures import failure_of
from chat_stream.events import AnswerFailed, ChatEvent
from chat_stream.json_values import check_containers, strict
from chat_stream.memory_bound import MAX_PIECE_BYTES, AnswerTooLarge
from chat_stream.reading import AnswerReader, last_events
from chat_stream.sse import BOM, EventStreamParser, EventTooLarge, ServerSentEvent
from chat_stream.transcripts.transcript import BrokenOff, Transcript, TranscriptBuilder, UpstreamTrace
from errors import RelayError, UpstreamError
from lambda_stream import CallerGone, ResponseStream, Watchdog
from rendering.formats import STREAM_RENDERERS
from rendering.renderer import JSON_HEADERS, Renderer
from request.chat_request import ChatRequest
from upstream.client import Upstream
from upstream.failures import (
    AUTH_FAILED,
    deadline_exceeded,
    interrupted,
    not_an_answer,
    presentable,
    reported,
    reported_by_upstream,
    too_large,
)

REQUEST_ID_HEADER = "x-relay-request-id"
LONGEST_INVOCATION_S = 15 * 60  # Lambda's; without a deadline there is more time than a socket can wait
TOO_DEEP = "a document that is nested too deeply"

Read = TypeVar("Read")

logger = logging.getLogger(__name__)


class Relay:
    """Carries one answer from the upstream to the caller.

    Args:
        headers: what the caller is told about limits of his own; where he has any, even without a word about
            them, those of the upstream are not shown.
        remaining_s: how long this invocation may last.
        on_answer: called when the first piece of a stream has been sent to the caller: from then on there is
            time for what the first byte must not wait for.

    Attributes:
        transcript: what came of it, once `run` has ended in whatever way.
    """

    def __init__(
        self,
        chat: ChatRequest,
        stream: ResponseStream,
        upstream: Upstream,
        *,
        request_id: str,
        headers: Mapping[str, str] | None,
        caller: str,
        remaining_s: float,
        on_answer: Callable[[], None],
    ) -> None:
        self._stream = stream
        self._settings = upstream.settings
        self._started_at = time.monotonic()
        # A short timeout is not eaten up by its reserve.
        remaining_s = min(remaining_s, LONGEST_INVOCATION_S)
        reserve_s = min(self._settings.deadline_reserve_s, remaining_s / 4)
        self._deadline_at = self._started_at + remaining_s - reserve_s
        stream.give_up_at = self._deadline_at  # a caller who reads too slowly does not cost the transcript
        streamed = chat.answer_format != "json"
        self._dialect = chat.dialect
        self._choices = chat.expected_choices
        self._exchange = upstream.exchange(
            self._dialect.path, chat.upstream_body, streamed=streamed, deadline_at=self._deadline_at
        )
        self._renderer: Renderer | None = None
        if streamed:
            self._renderer = STREAM_RENDERERS[chat.answer_format](chat, request_id)
        self._own_headers = {**(headers or {}), REQUEST_ID_HEADER: request_id}
        self._keeps_limits = headers is not None
        self._on_answer = on_answer
        self._has_begun_by_comment = False
        self._has_answered = False
        self._builder = TranscriptBuilder(
            id=request_id,
            caller=caller,
            route=chat.route,
            request=chat.recorded,
            started_at=datetime.now(UTC),
            expected_choices=chat.expected_choices,
            max_answer_bytes=self._settings.max_answer_bytes,
        )

    def run(self) -> None:
        """Relay the answer, or tell the caller what went wrong; `transcript` tells how far it came."""
        broken_off: BrokenOff | None = None
        try:
            broken_off = self._relay()
        except BaseException:
            broken_off = BrokenOff("failed", "internal_error", "The relay itself failed.")
            raise
        finally:
            trace = UpstreamTrace(attempts=self._exchange.attempts, request_id=self._exchange.request_id)
            transcript = self._builder.finish(self._elapsed_ms(), broken_off=broken_off, upstream=trace)
            self.transcript = Transcript(self._exchange.redaction.document(transcript.document))

    def _relay(self) -> BrokenOff | None:
        with closing(self._exchange), Watchdog(self._stream.lock) as watchdog:
            limits = self._exchange.limits
            watchdog.add(self._keep_alive_at, self._keep_alive)
            watchdog.add(limits.limit_at, limits.cut_for_silence)
            watchdog.add(self._deadline, lambda: limits.cut(deadline_exceeded()))
            try:
                self._exchange.open(on_limit=watchdog.wake)
                self._relay_answer()
            except CallerGone:
                return BrokenOff("abandoned", "caller_gone", "The caller went away before the answer's end.")
            except UpstreamError as error:
                self._end_broken(error)
                return BrokenOff(error.outcome, error.code, error.message)
        return None

    # -- the answer ----------------------------------------------------------------------------------------

    def _relay_answer(self) -> None:
        try:
            if self._renderer is None:
                self._relay_document()
            else:
                self._relay_events(self._renderer)
        except AnswerTooLarge as error:
            raise too_large(f"The upstream did not end: {error}.") from None

    def _relay_document(self) -> None:
        """An answer that is not streamed: the upstream's own document, so that no field of it is lost."""
        if self._exchange.body.is_document:
            body = self._exchange.read_document()
            document = self._document_in(body)
            chat_events = self._dialect.document_events(document, self._choices)
            self._record(chat_events, self._elapsed_ms())
        else:
            document, body = self._assembled()
        failed = self._builder.failed
        if failed and not (
            self._dialect.is_failed_answer(document)
            and self._is_clean(failed, body.decode("utf-8", "replace"))
        ):
            raise reported(failed)
        with self._stream.lock:
            self._start(JSON_HEADERS)
            self._write(body)

    def _assembled(self) -> tuple[dict[str, object], bytes]:
        """The document put together from events, which some gateways send whatever they are asked for."""
        assembler, decoder = self._dialect.assembler(self._choices), self._dialect.decoder(self._choices)
        parser = EventStreamParser(MAX_PIECE_BYTES)
        for events in self._read_by(parser.feed, partial(last_events, parser)):
            for event in events:
                assembler.add(event)
                chat_events = decoder.decode(event)
                self._record(chat_events, self._elapsed_ms())
                if chat_events or self._dialect.is_progress(event):
                    self._exchange.limits.restart_idle(done=self._builder.is_done)
            if self._builder.failed:
                break
        self._check_end()
        try:
            document = assembler.document()
            return document, _json(document)
        except RecursionError:
            raise not_an_answer(TOO_DEEP) from None

    def _relay_events(self, renderer: Renderer) -> None:
        """Each read of the upstream becomes at most one write to the caller."""
        reader = AnswerReader(self._dialect.decoder(self._choices), MAX_PIECE_BYTES)
        for read in self._read_by(reader.feed, reader.end):
            rendered: list[bytes] = []
            is_progress = False
            elapsed_ms = self._elapsed_ms()
            for event, chat_events, deltas in read:
                try:
                    self._record(chat_events, elapsed_ms, deltas)
                except AnswerTooLarge:
                    self._send(renderer, b"".join(rendered), is_progress=False)
                    raise
                if self._builder.failed:
                    self._end_reported(renderer, reported(self._builder.failed), rendered, event, chat_events)
                    return
                rendered.append(renderer.render(event, chat_events))
                is_progress = is_progress or bool(chat_events) or self._dialect.is_progress(event)
            self._send(renderer, b"".join(rendered), is_progress=is_progress)
        self._end(renderer, reader.rest)

    def _read_by(
        self, feed: Callable[[bytes], list[Read]], end: Callable[[], list[Read]]
    ) -> Iterator[list[Read]]:
        """What each read of the upstream completes, as `feed` tells it, and a whole body's end, as `end`.

        What breaks off after the answer's terminal signal has taken nothing from it: it ends the stream.
        """
        try:
            for data in self._event_stream():
                try:
                    read = feed(data)
                except EventTooLarge as error:
                    raise too_large(str(error)) from None
                if read:
                    yield read
        except UpstreamError:
            if not self._builder.is_terminal:
                raise
        else:
            if self._exchange.body.has_marked_end and (read := end()):
                yield read

    def _event_stream(self) -> Iterable[bytes]:
        """The upstream's bytes; a document that came instead is spelled as the events it stands for."""
        if not self._exchange.body.is_document:
            return self._exchange.body.chunks()
        document = self._document_in(self._exchange.read_document())
        try:
            document = strict(document)  # NaN, which Python reads, would end the client's own reading
            if self._dialect.is_answer(document):
                stream = self._dialect.document_stream(document)
            else:
                stream = b"data: " + _json(document) + b"\n\n"
        except RecursionError:
            raise not_an_answer(TOO_DEEP) from None
        return [stream]

    def _document_in(self, body: bytes) -> dict[str, object]:
        """The JSON object, which holds an answer or an error."""
        try:
            check_containers(body)
            document = json.loads(body)
        except (ValueError, RecursionError):
            document = None
        if not isinstance(document, dict):
            document = {}
        if not (self._dialect.is_answer(document) or failure_of(document)):
            raise not_an_answer("a document that is no answer")
        return document

    def _record(self, chat_events: Sequence[ChatEvent], elapsed_ms: int, deltas: int = 1) -> None:
        for chat_event in chat_events:
            if isinstance(chat_event, AnswerFailed):
                chat_event = presentable(chat_event, self._exchange.redaction.text)
            self._builder.add(chat_event, elapsed_ms, deltas)

    def _send(self, renderer: Renderer, data: bytes, *, is_progress: bool) -> None:
        """Write to the caller; the first event commits the 200, whether or not it shows any text yet."""
        with self._stream.lock:
            if self._has_begun_by_comment:  # behind it a byte order mark would be part of a field's name
                data = data.removeprefix(BOM)
                self._has_begun_by_comment = False
            if not self._stream.started:
                self._start(renderer.headers)
            self._write(data)
            # After the write, under the lock: a slow caller's time is no silence of the upstream.
            if is_progress:
                self._exchange.limits.restart_idle(done=self._builder.is_done)
        if data and not self._has_answered:
            self._has_answered = True
            self._on_answer()

    def _write(self, data: bytes) -> None:
        """Write to the caller what any renderer has made of the answer, but never the relay's key."""
        self._stream.write(self._exchange.redaction.data(data))

    def _start(self, headers: Mapping[str, str]) -> None:
        if not self._stream.started:
            self._stream.start(200, {**headers, **self._shown(), **self._own_headers})

    def _shown(self, *but: str) -> dict[str, str]:
        """The upstream's headers that the caller is shown, without those that begin so.

        Nor with the limits of the key that all callers share, where each has limits of his own.
        """
        hidden = (*but, "x-ratelimit-", "ratelimit") if self._keeps_limits else but
        headers = self._exchange.caller_headers
        return {name: value for name, value in headers.items() if not name.startswith(hidden)}

    # -- the end -------------------------------------------------------------------------------------------

    def _end(self, renderer: Renderer, rest: bytes) -> None:
        """The upstream's body has ended: well, if the answer has."""
        self._check_end()
        with self._stream.lock:
            self._start(renderer.headers)
            self._write(renderer.end(rest))

    def _check_end(self) -> None:
        """Raise UpstreamError where the body has ended before the answer.

        A body that ends with its connection looks the same when it is cut: its end tells nothing.
        """
        is_whole = self._builder.is_whole and self._exchange.body.has_marked_end
        if not (is_whole or self._builder.is_terminal):
            raise interrupted()

    def _end_reported(
        self,
        renderer: Renderer,
        error: UpstreamError,
        rendered: list[bytes],
        event: ServerSentEvent,
        chat_events: Sequence[ChatEvent],
    ) -> None:
        """The upstream has reported an error itself, as its first event or behind a part of the answer."""
        is_clean = self._is_clean(error, event.data)
        with self._stream.lock:
            if not self._stream.started and not rendered:
                raise error
            self._start(renderer.headers)
            self._write(b"".join(rendered) + renderer.besides(event, chat_events))
            failure = renderer.reported_failure(event, error) if is_clean else renderer.failure(error)
            # What breaks a text off is logged: not in the upstream's words, which may repeat the prompt.
            self._break_off(failure, reported_by_upstream())

    def _is_clean(self, failure: UpstreamError | AnswerFailed, text: str) -> bool:
        """Whether the upstream's words about a failure may be passed on: not if they are about the key."""
        return failure.code != AUTH_FAILED and self._exchange.redaction.text(text) == text

    def _end_broken(self, error: UpstreamError) -> None:
        """Tell the caller what went wrong: by a true status while that is possible, else in-band."""
        try:
            with self._stream.lock:
                if not self._stream.started:
                    # How long to wait is said by the error, in the form that all read.
                    answer_error(self._stream, error, {**self._shown("retry-after"), **self._own_headers})
                elif self._renderer is not None:
                    self._break_off(self._renderer.failure(error), error)
        except CallerGone:
            logger.info("the caller had gone before he could be told")  # the code may be the upstream's words

    def _break_off(self, failure: bytes | None, error: RelayError) -> None:
        if failure is None:
            self._stream.abort(error.code, error.message)
        else:
            self._write(failure)

    # -- the clock -----------------------------------------------------------------------------------------

    def _elapsed_ms(self) -> int:
        return round((time.monotonic() - self._started_at) * 1000)

    def _deadline(self) -> float | None:
        return None if self._exchange.limits.was_cut else self._deadline_at

    def _keep_alive_at(self) -> float | None:
        if self._renderer is None or self._renderer.keep_alive is None:
            return None
        if self._exchange.limits.was_cut:
            return None
        return self._stream.last_write_at + self._settings.keep_alive_s

    def _keep_alive(self) -> None:
        """A comment for a caller who has heard nothing for a while. It commits the 200 if nothing has yet."""
        assert self._renderer is not None
        assert self._renderer.keep_alive is not None
        try:
            self._has_begun_by_comment = self._has_begun_by_comment or not self._stream.started
            self._start(self._renderer.headers)
            self._stream.write(self._renderer.keep_alive)
        except CallerGone as gone:
            self._exchange.limits.cut(gone)


def answer_error(stream: ResponseStream, error: RelayError, headers: Mapping[str, str]) -> None:
    """Answer with the error's own status and OpenAI's error object: for all errors before the first byte."""
    stream.start(error.status, {**JSON_HEADERS, **headers, **error.headers})
    stream.write(error.document())


def _json(document: Mapping[str, object]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("ascii")
