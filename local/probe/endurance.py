"""The checks that take long: a silence, a large answer, and a caller who leaves."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from local.model.script import bytes_message, silence_message
from local.probe.arrivals import Arrival, longest_pause_s, rate_after
from local.probe.caller import MODEL_SILENCE_LIMIT_S, Reply
from local.probe.formats import CHUNKS, FORMATS
from local.probe.session import Session
from local.verdicts import Row, fault, not_tried, ok, unclear

MB = 1024 * 1024
LARGE_BYTES = 8 * MB
# Lambda: "the first 6 MB … uncapped bandwidth", then at most 2 MBps.
FULL_SPEED_BYTES = 6 * MB
MIN_RATE = 1 * MB  # bytes per second after that, half of what the platform promises
SLOW_TAIL_S = 8.0  # after which the rate of the tail is known
SLOW_ANSWER_S = 120.0

NOT_SCRIPTED = (
    "no real model does this when asked: deploy with the scripted model as its upstream, or try with SLOW=1"
)


def aborted(session: Session) -> Iterator[Row]:
    """Whether the relay still answers after a caller has left in the middle of an answer."""
    subject = "an aborted question"
    reply = _ask(session, "Count from 1 to 60.", leave=lambda piece: True)
    if reply.status != 200 or not reply.body:
        yield unclear(subject, f"it could not be asked: {reply.excerpt}")
        return
    after = session.caller.ask("GET", "/health")
    if after.status == 200:
        yield ok(subject, f"left after {reply.ended_s:.1f} s; the next request took {after.ended_s:.2f} s")
    else:
        advice = "An answer that nobody reads keeps its environment busy: raise ReservedConcurrency."
        yield fault(subject, f"the next request: {after.excerpt}", advice)


def keep_alive(session: Session) -> Iterator[Row]:
    """Whether comments arrive while the model is silent."""
    silence_s = session.options.silence_s
    subject = f"a silence of {silence_s} s"
    if not session.may_be_slow:
        yield not_tried(subject, "SLOW=0" if session.options.slow is False else NOT_SCRIPTED)
        return
    reply = _ask(session, silence_message(silence_s))
    if reply.status != 200:
        yield fault(subject, reply.excerpt, "The answer must outlast the silence.")
        return
    reading = FORMATS[CHUNKS].read(reply.body)
    comments = sum(line.startswith(b":") for line in reply.body.splitlines())
    pause_s = longest_pause_s([Arrival(0, 0), *reply.arrivals])
    found = f"{comments} comments; the longest pause was {pause_s:.1f} s"
    if reply.failure or not reading.is_complete:
        advice = "Something closes quiet connections: its idle limit must be above 15 s."
        yield fault(subject, f"{reply.failure or 'cut'} after {reply.ended_s:.1f} s; {found}", advice)
    elif reply.ended_s < silence_s:
        yield unclear(subject, f"the model was not silent: {found}")
    elif pause_s > 0.9 * silence_s or not comments:
        advice = "Something swallows or holds the keep-alive comments, and will close quiet connections."
        yield fault(subject, f"nothing arrived in it: {found}", advice)
    else:
        yield ok(subject, found)


def large_answer(session: Session) -> Iterator[Row]:
    """Whether an answer of 8 MB arrives, and how fast after the first 6 MB."""
    subject = "an answer of 8 MB"
    if not session.may_be_slow:
        yield not_tried(subject, "SLOW=0" if session.options.slow is False else NOT_SCRIPTED)
        return
    reply = _ask(session, bytes_message(LARGE_BYTES), leave=_gives_up())
    size = f"{len(reply.body) / MB:.1f} MB in {reply.ended_s:.1f} s"
    if reply.status != 200:
        yield fault(subject, reply.excerpt, "See the function's log.")
        return
    is_complete = FORMATS[CHUNKS].read(reply.body).is_complete
    rate = rate_after(reply.arrivals, FULL_SPEED_BYTES)
    if rate is not None and rate < MIN_RATE:
        before = FULL_SPEED_BYTES / max(_reached_at_s(reply, FULL_SPEED_BYTES), 0.001)
        found = f"{size}; the first 6 MB at {before / MB:.1f} MB/s, then {rate / MB:.2f} MB/s"
        if before < 2 * rate:
            yield unclear(subject, found, "Your own connection is slow: ask from another place.")
        else:
            yield fault(subject, found, "The platform promises 2 MB/s: something in front of it is slower.")
    elif reply.failure or not is_complete:
        advice = "Something limits the size or the time of answers; Lambda itself allows 200 MB."
        yield fault(subject, f"{reply.failure or 'cut without an error'} after {size}", advice)
    elif len(reply.body) < LARGE_BYTES:
        yield unclear(subject, f"the model wrote only {size}")
    else:
        yield ok(subject, f"{size}; after the first 6 MB {(rate or 0) / MB:.1f} MB/s")


def _ask(session: Session, question: str, leave: Callable[[bytes], bool] | None = None) -> Reply:
    request = FORMATS[CHUNKS].request(question, session.options.model)
    return session.caller.ask(*request, leave=leave, silence_limit_s=MODEL_SILENCE_LIMIT_S)


def _reached_at_s(reply: Reply, size_bytes: int) -> float:
    received = 0
    for arrival in reply.arrivals:
        received += arrival.size_bytes
        if received >= size_bytes:
            return arrival.at_s
    return reply.ended_s


def _gives_up() -> Callable[[bytes], bool]:
    """Leaves an answer whose tail is so slow that its rate is known."""
    began_at, received, tail_at = time.monotonic(), 0, None

    def leave(piece: bytes) -> bool:
        nonlocal received, tail_at
        now = time.monotonic()
        received += len(piece)
        if tail_at is None and received >= FULL_SPEED_BYTES:
            tail_at = now
        return now - began_at > SLOW_ANSWER_S or (tail_at is not None and now - tail_at > SLOW_TAIL_S)

    return leave
