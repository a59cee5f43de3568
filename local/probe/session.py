"""One run of the probe: the answers that several checks look at, each asked for once."""

from __future__ import annotations

import re
from functools import cached_property

from local.model.scripted_model import FINGERPRINT
from local.probe.caller import MODEL_SILENCE_LIMIT_S, Caller, Reply
from local.probe.formats import BRIEF_QUESTION, COMPLETION, FORMATS, QUESTION, UI_MESSAGES, Reading
from local.probe.options import ProbeOptions

REQUEST_ID = "x-relay-request-id"
QUESTIONS_PATH = "/v1/chat/completions"

_SERVER_TIMING = re.compile(r"(?:^|,)\s*relay\s*;\s*dur=([0-9]+(?:\.[0-9]+)?)")


class Session:
    """What is known about one relay so far."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        self._answers: dict[str, Reply] = {}

    @property
    def options(self) -> ProbeOptions:
        """The options of the probe."""
        return self.caller.options

    @cached_property
    def first_health(self) -> Reply:
        """The answer to the probe's first request."""
        return self.caller.ask("GET", "/health")

    @cached_property
    def warm_health(self) -> Reply:
        """The answer to the same request, once the connection is open and the function has started."""
        return self.caller.ask("GET", "/health")

    def answer(self, name: str) -> Reply:
        """The answer in this format to the probe's question."""
        if name not in self._answers:
            form = FORMATS[name]
            question = QUESTION if form.is_streamed else BRIEF_QUESTION
            request = form.request(question, self.options.model)
            self._answers[name] = self.caller.ask(*request, silence_limit_s=MODEL_SILENCE_LIMIT_S)
        return self._answers[name]

    def reading(self, name: str) -> Reading:
        """What that answer says."""
        return FORMATS[name].read(self.answer(name).body)

    @property
    def answers(self) -> dict[str, Reply]:
        """The answers so far, by format."""
        return dict(self._answers)

    @property
    def last_word(self) -> str:
        """The last word of the answer in a format that shows its own end; empty if it did not."""
        reading = self.reading(UI_MESSAGES)
        return last_word(reading.text) if reading.is_complete else ""

    @property
    def is_scripted(self) -> bool:
        """Whether the local stack's scripted model answers, which does what a message tells it."""
        return self.answer(COMPLETION).document().get("system_fingerprint") == FINGERPRINT

    @property
    def may_be_slow(self) -> bool:
        """Whether to ask for a long silence and a long answer."""
        return self.is_scripted if self.options.slow is None else self.options.slow


def relay_head_s(reply: Reply) -> float | None:
    """How long the relay took until it began to answer, by its own clock; None if it does not say."""
    found = _SERVER_TIMING.search(reply.header("server-timing"))
    return float(found[1]) / 1000 if found else None


def last_word(text: str) -> str:
    """The last word, without punctuation."""
    words = re.findall(r"\w+", text)
    return words[-1] if words else ""
