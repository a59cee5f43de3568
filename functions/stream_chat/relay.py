"""The relay itself: one exchange with the upstream, one stream to the caller, one transcript of both."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from answers import JSON_HEADERS, REQUEST_ID_HEADER, error_answer
from chat_stream.events import ChatEvent
from chat_stream.memory_bound import MAX_PIECE_BYTES, AnswerTooLargeError
from chat_stream.reading import AnswerReader
from chat_stream.sse import BOM, ServerSentEvent
from chat_stream.transcripts.transcript import Interruption, Transcript, TranscriptBuilder, UpstreamTrace
from errors import RelayError, UpstreamError
from lambda_stream import CallerGoneError, ResponseStream, Watchdog
from product import PRODUCT
from recorded_answer import RecordedAnswer
from relay_document import stream_of_document, whole_document
from rendering.formats import STREAM_RENDERERS
from rendering.renderer import Renderer
from rendering.timings import RelayTimings, server_timing
from request.chat_request import ChatRequest
from settings import Settings
from upstream.client import Upstream
from upstream.exchange import Exchange
from upstream.failures import deadline_exceeded, reported, reported_by_upstream, too_large

if TYPE_CHECKING:
    from pricing.cost import Cost

# Lambda's limit. Without a deadline more time is reported than a socket can wait.
LONGEST_INVOCATION_S = 15 * 60

logger = logging.getLogger(__name__)


class Relay:
    """Carries one answer from the upstream to the caller.

    Args:
        headers: the caller's own rate-limit headers. If given, even if empty, the upstream's are hidden.
        traceparent: the caller's trace context, for the transcript only.
        remaining_s: how long this invocation may last.
        on_answer: called when the first piece of a stream has been sent to the caller: from then on there is
            time for work that must not delay the first byte.

    Attributes:
        transcript: the transcript of the answer, set when `run` has ended in any way.
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
        traceparent: str | None = None,
    ) -> None:
        self._stream = stream
        self._clock = RelayClock(remaining_s, upstream.settings)
        stream.give_up_at = self._clock.deadline_at  # a slow reader must not cost the transcript
        streamed = chat.answer_format != "json"
        self._exchange = upstream.exchange(
            chat.dialect.path, chat.upstream_body, streamed=streamed, deadline_at=self._clock.deadline_at
        )
        self._request_id = request_id
        self._own_headers = {**(headers or {}), REQUEST_ID_HEADER: request_id}
        self._hides_upstream_limits = headers is not None
        self._on_answer = on_answer
        self._has_begun_with_comment = False
        self._has_answered = False
        self._builder = TranscriptBuilder(
            id=request_id,
            caller=caller,
            route=chat.route,
            request=chat.recorded,
            started_at=self._clock.started_at,
            expected_choices=chat.expected_choices,
            max_answer_bytes=upstream.settings.max_answer_bytes,
            producer=PRODUCT,
            traceparent=traceparent,
        )
        self._answer = RecordedAnswer(
            self._exchange, self._builder, self._clock.elapsed_ms, chat.dialect, chat.expected_choices
        )
        self._cost = partial(
            _cost_so_far,
            self._builder,
            upstream.settings,
            self._clock.started_at,
            chat.recorded["model"],
            chat.recorded["parameters"].get("service_tier"),
        )
        self._cost_wanted = chat.cost_wanted
        self._timings = RelayTimings()
        self._tells_timings = chat.answer_format == "ui-message"  # in no other format: noting them takes time
        self._renderer: Renderer | None = None
        if streamed:
            stream.prelude_gap_s = upstream.settings.prelude_gap_ms / 1000
            make = STREAM_RENDERERS[chat.answer_format]
            self._renderer = make(chat, request_id, self._timings, self._cost)

    def run(self) -> None:
        """Relay the answer, or send the caller an error; `transcript` records the part that was relayed."""
        interruption: Interruption | None = None
        try:
            interruption = self._relay()
        except BaseException:
            interruption = Interruption("failed", "internal_error", "The relay itself failed.")
            raise
        finally:
            trace = UpstreamTrace(attempts=self._exchange.attempts, request_id=self._exchange.request_id)
            transcript = self._builder.finish(
                self._clock.elapsed_ms(), interruption=interruption, upstream=trace
            )
            self.transcript = Transcript(self._exchange.redaction.document(transcript.document))

    def add_cost(self) -> None:
        """Add the cost to the transcript. For after the response: the first call reads the prices."""
        cost = self._cost()
        self.transcript = self.transcript.with_cost(cost and cost.to_json())

    def _relay(self) -> Interruption | None:
        can_keep_alive = self._renderer is not None and self._renderer.keep_alive is not None
        with closing(self._exchange), Watchdog(self._stream.lock) as watchdog:
            self._clock.watch(
                watchdog, self._exchange, self._stream, self._keep_alive if can_keep_alive else None
            )
            try:
                self._exchange.open(on_limit=watchdog.wake)
                self._relay_answer()
            except CallerGoneError:
                return Interruption(
                    "abandoned", "caller_gone", "The caller went away before the answer's end."
                )
            except UpstreamError as error:
                self._end_broken(error)
                return Interruption(error.outcome, error.code, error.message)
        return None

    def _keep_alive(self) -> None:
        """Send a comment to a caller who has received nothing for a while. It commits the 200."""
        assert self._renderer is not None
        assert self._renderer.keep_alive is not None
        try:
            self._has_begun_with_comment = self._has_begun_with_comment or not self._stream.started
            self._start(self._renderer.headers)
            self._stream.write(self._renderer.keep_alive)
        except CallerGoneError as gone:
            self._exchange.limits.cut(gone)

    # -- the answer ----------------------------------------------------------------------------------------

    def _relay_answer(self) -> None:
        try:
            if self._renderer is None:
                self._relay_document()
            else:
                self._relay_events(self._renderer)
        except AnswerTooLargeError as error:
            raise too_large(f"The relay cut the answer off: {error}.") from None

    def _relay_document(self) -> None:
        document = whole_document(self._answer, self._cost if self._cost_wanted else None)
        with self._stream.lock:
            self._start(JSON_HEADERS)
            self._write(document)

    def _relay_events(self, renderer: Renderer) -> None:
        """Each read from the upstream becomes at most one write to the caller."""
        answer, builder, dialect = self._answer, self._builder, self._answer.dialect
        timings = self._timings if self._tells_timings else None
        reader = AnswerReader(dialect.decoder(answer.expected_choices), MAX_PIECE_BYTES)
        for read in answer.read_by(self._chunks(), reader.feed, reader.end):
            rendered: list[bytes] = []
            is_progress = False
            elapsed_ms = self._clock.elapsed_ms()
            if timings is not None:
                timings.note(elapsed_ms)
            for event, chat_events, deltas in read:
                try:
                    answer.record(chat_events, elapsed_ms, deltas)
                except AnswerTooLargeError:
                    self._send(renderer, b"".join(rendered), is_progress=False)
                    raise
                if builder.failed:
                    self._end_reported(renderer, reported(builder.failed), rendered, event, chat_events)
                    return
                rendered.append(renderer.render(event, chat_events))
                is_progress = is_progress or bool(chat_events) or dialect.is_progress(event)
            self._send(renderer, b"".join(rendered), is_progress=is_progress)
        self._end(renderer, reader.rest)

    def _chunks(self) -> Iterable[bytes]:
        """The upstream's event stream as it arrives."""
        if self._exchange.body.is_document:
            return [stream_of_document(self._answer)]
        return self._exchange.body.chunks()

    def _send(self, renderer: Renderer, data: bytes, *, is_progress: bool) -> None:
        """Write to the caller. The first event commits the 200, even if it contains no text yet."""
        with self._stream.lock:
            if self._has_begun_with_comment:  # after a comment a byte order mark would belong to a field name
                data = data.removeprefix(BOM)
                self._has_begun_with_comment = False
            if not self._stream.started:
                self._start(renderer.headers)
            self._write(data)
            # After the write and under the lock: the time that a slow caller takes is not upstream silence.
            if is_progress:
                self._exchange.limits.restart_idle(done=self._builder.is_done)
        if data and not self._has_answered:
            self._has_answered = True
            self._on_answer()

    def _write(self, data: bytes) -> None:
        """Write rendered bytes to the caller, without the relay's key."""
        self._stream.write(self._exchange.redaction.data(data))

    def _start(self, headers: Mapping[str, str]) -> None:
        if not self._stream.started:
            timing = server_timing(self._clock.elapsed_ms())
            self._stream.start(200, {**headers, **self._upstream_headers(), **timing, **self._own_headers})

    def _upstream_headers(self, *but: str) -> dict[str, str]:
        """The upstream's headers that the caller may see, except those whose names begin with one of `but`.

        The limits of the key that all callers share are hidden from callers with limits of their own.
        """
        hidden = (*but, "x-ratelimit-", "ratelimit") if self._hides_upstream_limits else but
        headers = self._exchange.caller_headers
        return {name: value for name, value in headers.items() if not name.startswith(hidden)}

    # -- the end -------------------------------------------------------------------------------------------

    def _end(self, renderer: Renderer, rest: bytes) -> None:
        """End the stream after the upstream's body has ended, if the answer is complete."""
        self._answer.check_end()
        with self._stream.lock:
            self._start(renderer.headers)
            self._write(renderer.end(rest))

    def _end_reported(
        self,
        renderer: Renderer,
        error: UpstreamError,
        rendered: list[bytes],
        event: ServerSentEvent,
        chat_events: Sequence[ChatEvent],
    ) -> None:
        """End with an error that the upstream itself reports, in its first event or a later one."""
        may_pass_on = self._answer.may_pass_on(error, event.data)
        with self._stream.lock:
            if not self._stream.started and not rendered:
                raise error
            self._start(renderer.headers)
            self._write(b"".join(rendered) + renderer.content_beside_error(event, chat_events))
            failure = renderer.reported_failure(event, error) if may_pass_on else renderer.failure(error)
            # The error with which a text is broken off gets logged: without the upstream's message, which may
            # quote the prompt.
            self._break_off(failure, reported_by_upstream())

    def _end_broken(self, error: UpstreamError) -> None:
        """Tell the caller what went wrong: by a true status while that is possible, else in-band."""
        try:
            with self._stream.lock:
                if not self._stream.started:
                    # The error has a `retry-after` of its own, in the form that every client reads.
                    headers = {**self._upstream_headers("retry-after"), **self._own_headers}
                    error_answer(error, headers).send(self._stream, self._request_id)
                elif self._renderer is not None:
                    self._break_off(self._renderer.failure(error), error)
        except CallerGoneError:
            # Without the error's code, which may come from the upstream.
            logger.info("the caller had gone before the error could be sent")

    def _break_off(self, failure: bytes | None, error: RelayError) -> None:
        if failure is None:
            self._stream.abort(error.code, error.message)
        else:
            self._write(failure)


def _cost_so_far(
    builder: TranscriptBuilder,
    settings: Settings,
    started_at: datetime,
    requested_model: str | None,
    requested_tier: str | None,
) -> Cost | None:
    """What the answer costs by the last usage that the upstream has reported; None if it is not known."""
    from pricing.cost import answer_cost  # no first byte waits for it
    from pricing.price_file import prices_of

    used = builder.used
    return answer_cost(
        builder.model,
        used and used.usage,
        prices_of(settings.openai_base_url, settings.model_prices),
        at=started_at,
        requested_model=requested_model,
        service_tier=used and used.service_tier,
        requested_tier=requested_tier,
    )


class RelayClock:
    """The time of one answer: how long it has taken, and when it must end. The clock runs from its creation.

    Args:
        remaining_s: how long this invocation may last.

    Attributes:
        started_at: when it began.
        deadline_at: `time.monotonic()` when the answer must have ended, so that there is time left to send
            the caller an error and to hand off the transcript.
    """

    def __init__(self, remaining_s: float, settings: Settings) -> None:
        self.started_at = datetime.now(UTC)
        self._began_at = time.monotonic()
        remaining_s = min(remaining_s, LONGEST_INVOCATION_S)
        # Reserve at most a quarter of the remaining time.
        reserve_s = min(settings.deadline_reserve_s, remaining_s / 4)
        self.deadline_at = self._began_at + remaining_s - reserve_s
        self._keep_alive_s = settings.keep_alive_s

    def elapsed_ms(self) -> int:
        """Milliseconds since the beginning."""
        return round((time.monotonic() - self._began_at) * 1000)

    def watch(
        self,
        watchdog: Watchdog,
        exchange: Exchange,
        stream: ResponseStream,
        keep_alive: Callable[[], None] | None,
    ) -> None:
        """Set the watchdog's alarms: the exchange is cut when it is silent for too long or at the deadline.

        Args:
            keep_alive: called whenever the caller has received nothing for KEEP_ALIVE_S; None if nothing may
                be sent to them then.
        """

        def next_keep_alive_at() -> float | None:
            return None if exchange.limits.was_cut else stream.last_write_at + self._keep_alive_s

        def deadline() -> float | None:
            return None if exchange.limits.was_cut else self.deadline_at

        if keep_alive is not None:
            watchdog.add(next_keep_alive_at, keep_alive)
        watchdog.add(exchange.limits.limit_at, exchange.limits.cut_for_silence)
        watchdog.add(deadline, lambda: exchange.limits.cut(deadline_exceeded()))
