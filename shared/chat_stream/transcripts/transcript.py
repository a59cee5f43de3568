"""Transcripts: an answer collected from its chat events, with its outcome."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    AudioTranscriptDelta,
    ChatEvent,
    ChoiceFinished,
    ImageReceived,
    ReasoningDelta,
    RefusalDelta,
    StreamDone,
    TextDelta,
    ToolCallDelta,
    UsageReported,
)
from chat_stream.json_values import strict
from chat_stream.memory_bound import OBJECT_BYTES, STATE_BYTES, AnswerTooLargeError, GrowingText
from chat_stream.transcripts.schema import check_transcript

SCHEMA_VERSION = 1

_TOO_DEEP = "(nested too deeply to be kept)"


class Interruption(NamedTuple):
    """Why an answer ended early, if the events do not show it: the relay or the connection broke it off."""

    outcome: Literal["failed", "truncated", "abandoned"]
    code: str
    message: str


class UpstreamTrace(NamedTuple):
    """The number of requests to the upstream, retries included, and its own id of the last one."""

    attempts: int
    request_id: str | None


NEVER_ASKED = UpstreamTrace(attempts=0, request_id=None)


class Transcript(NamedTuple):
    """A finished transcript; `document` conforms to transcript.schema.json."""

    document: dict[str, Any]

    @property
    def id(self) -> str:
        """The relay's request id, by which consumers deduplicate."""
        return str(self.document["id"])

    @property
    def outcome(self) -> str:
        """completed, incomplete, failed, truncated or abandoned."""
        return str(self.document["outcome"])

    @property
    def date(self) -> str:
        """The UTC date of the request, as YYYY-MM-DD."""
        return str(self.document["timings"]["started_at"])[:10]

    def with_cost(self, cost: Mapping[str, Any] | None) -> Transcript:
        """The transcript with the `cost` of its answer; None if that is not known."""
        return Transcript({**self.document, "cost": cost})

    def to_json(self) -> bytes:
        """One line of compact, ASCII-escaped JSON: SQS rejects some characters outside ASCII."""
        try:
            return _compact(self.document)
        except RecursionError:  # nested just within the limit, and called from a deeper stack
            return _compact(_without_deep_values(self.document))


def parse_transcript(data: Mapping[str, Any]) -> Transcript:
    """The transcript in a JSON document. Raises InvalidTranscriptError: which field is wrong, and why."""
    document = dict(data) if isinstance(data, Mapping) else data
    check_transcript(document)
    return Transcript(_storable(document))


class _ToolCall:
    def __init__(self) -> None:
        self.id: str | None = None
        self.name: str | None = None
        self.arguments = GrowingText()


class _Choice:
    def __init__(self) -> None:
        self.text = GrowingText()
        self.refusal = GrowingText()
        self.reasoning = GrowingText()
        self.audio_transcript = GrowingText()
        self.tool_calls: dict[int, _ToolCall] = {}
        self.media: list[dict[str, Any]] = []
        self.finish_reason: str | None = None
        self.is_cut_short = False
        self.is_contradicted = False


class TranscriptBuilder:
    """Collects an answer's chat events; `finish` makes the transcript.

    Times are in milliseconds since `started_at`. `request` holds "model", "messages" and "parameters";
    `expected_choices` is the request's `n`; `max_answer_bytes` limits the text that is kept, of all choices
    together; `producer` names the software that makes the transcript, as in a user agent; `traceparent` is
    the caller's trace context. Raises ValueError for a `started_at` without a time zone.
    """

    def __init__(
        self,
        *,
        id: str,  # noqa: A002 - the document's own key
        caller: str | None,
        route: str,
        request: Mapping[str, Any],
        started_at: datetime,
        expected_choices: int = 1,
        max_answer_bytes: int = sys.maxsize,
        producer: str | None = None,
        traceparent: str | None = None,
    ) -> None:
        if started_at.tzinfo is None:
            raise ValueError("started_at must have a time zone")
        self.failed: AnswerFailed | None = None
        """The error in the stream, if there was one."""
        self._id = id
        self._caller = caller
        self._route = route
        self._request = request
        self._started_at = started_at
        self._expected_choices = expected_choices
        self._max_answer_bytes = self._left_bytes = max_answer_bytes
        self._producer = producer
        self._traceparent = traceparent
        self._omitted_bytes = 0
        self._choices: dict[int, _Choice] = {}
        self._answer = AnswerStarted(None, None)
        self.used: UsageReported | None = None
        """The last usage that was reported."""
        self.is_done = False
        """Whether StreamDone was received: nothing follows."""
        self._trusts_finish_reasons = True
        self._first_delta_ms: int | None = None
        self._delta_count = 0

    @property
    def is_terminal(self) -> bool:
        """Whether the answer has ended, even if the body is cut: all choices finished, sentinel, or error.

        Some upstreams put a finish_reason on every chunk. Once a choice continues after its finish_reason,
        none counts here for the rest of the answer.
        """
        if self.is_done or self.failed is not None:
            return True
        if not self._trusts_finish_reasons or len(self._choices) < self._expected_choices:
            return False
        return self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether the answer has ended, provided that the body is complete.

        Missing choices do not matter, because some upstreams ignore `n` [openai-agents-python#3313].
        """
        if self.is_done or self.failed is not None:
            return True
        return bool(self._choices) and all(c.finish_reason is not None for c in self._choices.values())

    def add(self, event: ChatEvent, elapsed_ms: int, deltas: int = 1) -> None:
        """Take the next event, received `elapsed_ms` after `started_at`; it may stand for several deltas.

        Raises AnswerTooLargeError if the text exceeds the limit, after keeping as much of it as fits.
        """
        match event:
            case TextDelta(index, text):
                self._keep(self._choice_of_delta(index, elapsed_ms, deltas).text, text)
            case RefusalDelta(index, text):
                self._keep(self._choice_of_delta(index, elapsed_ms, deltas).refusal, text)
            case ReasoningDelta(index, text):
                self._keep(self._choice_of_delta(index, elapsed_ms, deltas).reasoning, text)
            case AudioTranscriptDelta(index, text):
                self._keep(self._choice_of_delta(index, elapsed_ms, deltas).audio_transcript, text)
            case ToolCallDelta(index, place, call_id, name, arguments):
                choice = self._choice_of_delta(index, elapsed_ms, deltas)
                call = choice.tool_calls.get(place) or self._opened_call(choice, place)
                if call_id or name:
                    self._take(len(call_id or "") + len(name or ""))
                    call.id, call.name = call.id or call_id, call.name or name
                self._keep(call.arguments, arguments)
            case ImageReceived(index, url, media_type):
                choice = self._choice_of_delta(index, elapsed_ms, deltas)
                self._take(OBJECT_BYTES)
                choice.media.append(_image(url, media_type))
            case ChoiceFinished(index, finish_reason, is_cut_short):
                ended = self._choices.get(index) or self._opened_choice(index)
                if ended.finish_reason is None or ended.is_contradicted:
                    ended.finish_reason, ended.is_cut_short = finish_reason, is_cut_short
                    ended.is_contradicted = False
            case AnswerStarted():
                self._answer = event
            case UsageReported():
                self.used = event
            case AnswerFailed():
                self.failed = self.failed or event
            case StreamDone():
                self.is_done = True

    @property
    def model(self) -> str | None:
        """The model that answers, as the upstream names it."""
        return self._answer.model

    def _choice_of_delta(self, index: int, elapsed_ms: int, deltas: int) -> _Choice:
        if self._first_delta_ms is None:
            self._first_delta_ms = elapsed_ms
        self._delta_count += deltas
        choice = self._choices.get(index)
        if choice is None:
            choice = self._opened_choice(index)
        elif choice.finish_reason is not None:
            choice.is_contradicted, self._trusts_finish_reasons = True, False
        return choice

    def _opened_choice(self, index: int) -> _Choice:
        self._take(STATE_BYTES)
        choice = self._choices[index] = _Choice()
        return choice

    def _opened_call(self, choice: _Choice, place: int) -> _ToolCall:
        self._take(STATE_BYTES)
        call = choice.tool_calls[place] = _ToolCall()
        return call

    def _keep(self, kept: GrowingText, text: str) -> None:
        size_bytes = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        left_bytes = self._left_bytes
        self._left_bytes = left_bytes - size_bytes
        if self._left_bytes >= 0:
            kept.add(text)
            return
        fitting = text.encode("utf-8", "replace")[: max(left_bytes, 0)].decode("utf-8", "ignore")
        kept.add(fitting)
        self._omitted_bytes += size_bytes - len(fitting.encode())
        raise self._too_large()

    def _take(self, size_bytes: int) -> None:
        self._left_bytes -= size_bytes
        if self._left_bytes < 0:
            raise self._too_large()

    def _too_large(self) -> AnswerTooLargeError:
        return AnswerTooLargeError(f"the answer is larger than {self._max_answer_bytes} bytes")

    def finish(
        self, elapsed_ms: int, interruption: Interruption | None = None, upstream: UpstreamTrace = NEVER_ASKED
    ) -> Transcript:
        """The transcript of everything received, finished `elapsed_ms` after `started_at`.

        The outcome depends on an error in the stream first, then on `interruption`, then on the choices.
        Without `interruption` the body must be complete.
        """
        outcome, reason, error = self._ending(interruption)
        is_whole = outcome in ("completed", "incomplete")
        document = {
            "schema_version": SCHEMA_VERSION,
            **({"producer": self._producer} if self._producer else {}),
            "id": self._id,
            "outcome": outcome,
            "reason": reason,
            "caller": self._caller,
            "route": self._route,
            **({"traceparent": self._traceparent} if self._traceparent else {}),
            "request": {key: self._request[key] for key in ("model", "messages", "parameters")},
            "response": {
                "id": self._answer.id,
                "model": self._answer.model,
                "usage": self.used and self.used.usage,
                **({"service_tier": self.used.service_tier} if self.used and self.used.service_tier else {}),
                "error": error,
                "choices": [
                    _choice(index, choice, is_whole=is_whole)
                    for index, choice in sorted(self._choices.items())
                ],
                **({"omitted_bytes": self._omitted_bytes} if self._omitted_bytes else {}),
            },
            "timings": {
                "started_at": _utc_ms(self._started_at),
                "time_to_first_token_ms": self._first_delta_ms,
                "duration_ms": elapsed_ms,
                "delta_count": self._delta_count,
            },
            "upstream": {"attempts": upstream.attempts, "request_id": upstream.request_id},
        }
        return Transcript(_storable(document))

    def _ending(self, interruption: Interruption | None) -> tuple[str, str | None, dict[str, Any] | None]:
        """The outcome, its reason code, and the error that ended the answer."""
        if self.failed is not None:
            failed = self.failed
            error = _error(failed.message, failed.code, failed.type, failed.param)
            return "failed", failed.code or failed.type or "upstream_error", error
        if interruption is not None:
            return interruption.outcome, interruption.code, _error(interruption.message, interruption.code)
        # The first choice decides the outcome: the others are alternatives with finish reasons of their own.
        first = self._choices[min(self._choices)] if self._choices else _Choice()
        if first.is_cut_short:
            return "incomplete", first.finish_reason, None
        if self.is_whole:
            return "completed", None, None
        message = "The upstream's answer ended before it was complete."
        return "truncated", "upstream_interrupted", _error(message, "upstream_interrupted")


def _error(
    message: str,
    code: str | None,
    type: str | None = None,  # noqa: A002 - OpenAI's name of the field
    param: str | None = None,
) -> dict[str, Any]:
    return {"message": message, "type": type, "param": param, "code": code}


def _choice(index: int, choice: _Choice, *, is_whole: bool) -> dict[str, Any]:
    inferred = "tool_calls" if choice.tool_calls else "stop"
    return {
        "index": index,
        "content": str(choice.text),
        "refusal": str(choice.refusal) or None,
        "reasoning": str(choice.reasoning) or None,
        "audio_transcript": str(choice.audio_transcript) or None,
        "tool_calls": [
            {"id": call.id, "name": call.name, "arguments": str(call.arguments)}
            for _, call in sorted(choice.tool_calls.items())
        ],
        "finish_reason": choice.finish_reason,
        "inferred_finish_reason": inferred if is_whole and choice.finish_reason is None else None,
        **({"media": choice.media} if choice.media else {}),
    }


def _image(url: str, media_type: str) -> dict[str, Any]:
    """An image without its data or URL: it may be megabytes long, and the URL may contain a key."""
    is_base64 = url[:5].lower() == "data:" and ";base64," in url[:128].lower()
    size_bytes = len(url.rstrip("=")[url.index(",") + 1 :]) * 3 // 4 if is_base64 else None
    return {"type": "image", "media_type": media_type, "bytes": size_bytes}


def _utc_ms(moment: datetime) -> str:
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _storable(document: dict[str, Any]) -> dict[str, Any]:
    """A copy of the document in strict JSON, without deeply nested parts if it is too deep."""
    try:
        return strict(document)
    except RecursionError:
        return strict(_without_deep_values(document))


def _without_deep_values(document: dict[str, Any]) -> dict[str, Any]:
    """The document with a note in place of messages, parameters and usage, which may be nested deeply."""
    usage = document["response"]["usage"]
    request = {**document["request"], "messages": [_TOO_DEEP], "parameters": {"omitted": _TOO_DEEP}}
    response = {**document["response"], "usage": usage and {"omitted": _TOO_DEEP}}
    return {**document, "request": request, "response": response}


def _compact(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode("ascii")
