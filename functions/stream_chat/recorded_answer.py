"""The upstream's answer while it is read: its bytes in, its chat events recorded for the transcript."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from chat_stream.dialects.dialect import Dialect
from chat_stream.events import AnswerFailed, ChatEvent
from chat_stream.sse import EventTooLargeError
from chat_stream.transcripts.transcript import TranscriptBuilder
from errors import UpstreamError
from upstream.exchange import Exchange
from upstream.failures import AUTH_FAILED, interrupted, presentable, too_large

Read = TypeVar("Read")


class RecordedAnswer:
    """One answer of the upstream, read from its exchange and recorded by the builder of its transcript.

    `elapsed_ms` tells the time since the relay began. The request asks for `expected_choices` choices (`n`).
    """

    def __init__(
        self,
        exchange: Exchange,
        builder: TranscriptBuilder,
        elapsed_ms: Callable[[], int],
        dialect: Dialect,
        expected_choices: int,
    ) -> None:
        self.exchange = exchange
        self.elapsed_ms = elapsed_ms
        self.dialect = dialect
        self.expected_choices = expected_choices
        self._builder = builder

    @property
    def failed(self) -> AnswerFailed | None:
        """The error that the upstream has reported within its answer, without the relay's key."""
        return self._builder.failed

    @property
    def is_done(self) -> bool:
        """Whether the answer has ended with its sentinel, so that nothing more is expected."""
        return self._builder.is_done

    def record(self, chat_events: Sequence[ChatEvent], elapsed_ms: int, deltas: int = 1) -> None:
        """Add events to the transcript; each may stand for several deltas. Raises AnswerTooLargeError."""
        for chat_event in chat_events:
            if isinstance(chat_event, AnswerFailed):
                chat_event = presentable(chat_event, self.exchange.redaction.text)
            self._builder.add(chat_event, elapsed_ms, deltas)

    def read_by(
        self, chunks: Iterable[bytes], feed: Callable[[bytes], list[Read]], end: Callable[[], list[Read]]
    ) -> Iterator[list[Read]]:
        """The results of `feed` for each chunk that has any, then those of `end` if the body is whole.

        A connection that breaks after the answer's terminal signal is a normal end. Raises UpstreamError: the
        body broke off before that, or one of its events is too large.
        """
        try:
            for data in chunks:
                try:
                    read = feed(data)
                except EventTooLargeError as error:
                    raise too_large(str(error)) from None
                if read:
                    yield read
        except UpstreamError:
            if not self._builder.is_terminal:
                raise
        else:
            if self.exchange.body.has_marked_end and (read := end()):
                yield read

    def check_end(self) -> None:
        """Raise UpstreamError if the body has ended before the answer.

        A body that ends when its connection closes looks the same if it is cut, so its end proves nothing.
        """
        is_whole = self._builder.is_whole and self.exchange.body.has_marked_end
        if not (is_whole or self._builder.is_terminal):
            raise interrupted()

    def may_pass_on(self, failure: UpstreamError | AnswerFailed, text: str) -> bool:
        """Whether `text`, in which the upstream reports a failure, may go to the caller: not with the key."""
        return failure.code != AUTH_FAILED and self.exchange.redaction.text(text) == text
