"""Whether an answer arrives whole in every format, and piece by piece."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from local.probe import arrivals
from local.probe.arrivals import Pace
from local.probe.caller import Reply
from local.probe.formats import FORMATS, RESPONSE, RESPONSE_EVENTS, UI_MESSAGES
from local.probe.session import REQUEST_ID, Session, last_word, relay_head_s
from local.verdicts import Row, fault, not_tried, ok, unclear

STREAMED = [name for name, form in FORMATS.items() if form.is_streamed]
MAX_OVERHEAD_S = 3.0  # a cold start of the function itself takes about one

HOLDS_BACK = (
    "Something between the relay and you holds its pieces back: a proxy that buffers or compresses, a REST"
    " API without ResponseTransferMode, or the platform itself. Compare the function's own URL."
)


def formats(session: Session) -> Iterator[Row]:
    """Each format's answer, asked for once."""
    for name in FORMATS:
        if name in (RESPONSE, RESPONSE_EVENTS) and not session.options.responses:
            yield not_tried(name, "RESPONSES=0")
        else:
            yield _format(session, name)


def _format(session: Session, name: str) -> Row:
    form, reply = FORMATS[name], session.answer(name)
    if reply.status != 200:
        return _refused(name, reply)
    if reply.media_type != form.media_type:
        found = f"content type {reply.media_type or 'missing'} instead of {form.media_type}: {reply.excerpt}"
        return fault(name, found, "Something in front of the relay answers in its place.")
    reading = session.reading(name)
    if reading.error:
        return fault(name, reading.error, "The upstream failed: `make doctor` asks it directly.")
    at = f"after {len(reply.body)} bytes and {reply.ended_s:.1f} s"
    if reply.failure:
        advice = "Something cuts answers off: look for its time or size limit."
        return fault(name, f"{reply.failure} {at}", advice)
    is_cut = not reading.is_complete or (
        not form.has_end and bool(session.last_word) and last_word(reading.text) != session.last_word
    )
    if is_cut:
        advice = "Something in front of the relay ends answers early, and callers take them for whole."
        return fault(name, f"cut {at}, without an error", advice)
    if not reading.text.strip():
        return fault(name, f"no text in {len(reply.body)} bytes", "Ask the model directly: `make doctor`.")
    return ok(name, f"whole, {len(reading.text)} characters in {reply.ended_s:.1f} s")


def _refused(name: str, reply: Reply) -> Row:
    if reply.status == 429:
        return unclear(name, reply.excerpt, "The caller's limit or the upstream's: try again later.")
    if name in (RESPONSE, RESPONSE_EVENTS) and reply.status in (404, 405):
        advice = "The upstream has no Responses API. If nobody needs it: RESPONSES=0."
        return fault(name, reply.excerpt, advice)
    if reply.status in (401, 403):
        return fault(name, reply.excerpt, "See the rows above: this caller is not let in.")
    return fault(name, reply.excerpt, "See the function's log; `make doctor` asks the upstream directly.")


def pacing(session: Session) -> Iterator[Row]:
    """Whether the pieces of each streamed answer arrive as the relay sent them."""
    relay = session.reading(UI_MESSAGES).timings
    for name in STREAMED:
        reply = session.answers.get(name)
        subject = f"pace: {name}"
        if reply is None or reply.status != 200 or not reply.arrivals:
            yield not_tried(subject, "there was no answer")
            continue
        is_unicode = (sys.stdout.encoding or "").lower().startswith("utf")
        shown = arrivals.picture(reply.arrivals, reply.ended_s, ascii_only=not is_unicode)
        found = f"{arrivals.in_numbers(reply.arrivals)}\n{shown} {reply.ended_s:.1f} s"
        held_s = _held_s(session, reply)
        if relay is None or held_s is None:
            advice = "The relay's own timings did not arrive, so nothing can be compared."
            yield unclear(subject, found, advice)
            continue
        is_ui = name == UI_MESSAGES
        pace = arrivals.pace(reply.arrivals, relay, same_answer=is_ui, held_s=held_s)
        whose = "the relay sent this" if is_ui else "the relay sent such an answer"
        found += f"\n{whose} in {relay.reads} pieces over {relay.spread_s:.2f} s"
        if pace is Pace.STREAMED:
            yield ok(subject, found)
        elif pace is Pace.TOO_SHORT:
            advice = "The relay itself got it all at once: `make doctor` tells whether the upstream streams."
            yield unclear(subject, found, advice)
        else:
            yield fault(subject, f"arrived {pace.value}: {found}", HOLDS_BACK)


def _held_s(session: Session, reply: Reply) -> float | None:
    """How much later the first piece arrived than the relay sent it, beyond the usual time on the way."""
    began_s = relay_head_s(reply)
    if began_s is None or not reply.arrivals:
        return None
    return reply.arrivals[0].at_s - began_s - session.warm_health.head_s


def first_byte(session: Session) -> Iterator[Row]:
    """How long callers wait for the first byte, and how much of that is the model's."""
    waits = [
        (reply.arrivals[0].at_s, relay_head_s(reply))
        for name, reply in session.answers.items()
        if name in STREAMED and reply.status == 200 and reply.arrivals
    ]
    if not waits:
        yield not_tried("first byte", "there was no answer")
        return
    overheads = [wait_s - began_s for wait_s, began_s in waits if began_s is not None]
    found = (
        f"the probe's first request (cold if the function was idle): {session.first_health.head_s:.2f} s; "
        f"warm, without the model: {session.warm_health.head_s:.2f} s\n"
        f"answers: {min(wait_s for wait_s, _ in waits):.2f} to {max(wait_s for wait_s, _ in waits):.2f} s"
    )
    if not overheads:
        yield unclear("first byte", found, "The relay's own timings did not arrive, so its share is unknown.")
        return
    found += f", of which not the model's: at best {max(min(overheads), 0):.2f} s"
    if min(overheads) > MAX_OVERHEAD_S:
        yield fault("first byte", found, HOLDS_BACK)
    else:
        yield ok("first byte", found)


def same_words(session: Session) -> Iterator[Row]:
    """Whether the scripted model's words, the same in every answer, arrive unchanged in every format."""
    texts = {name: session.reading(name).text for name in STREAMED if session.answers.get(name)}
    if session.is_scripted and session.last_word:
        other = [name for name, text in texts.items() if text and text != texts[UI_MESSAGES]]
        if other:
            advice = "Something changes, repeats or loses bytes on the way."
            yield fault("the same words everywhere", f"different words in: {', '.join(other)}", advice)
        else:
            yield ok("the same words everywhere", f"in {len(texts)} formats")


def caching(session: Session) -> Iterator[Row]:
    """Whether each request reaches the relay: each has an id of its own there."""
    replies = [session.first_health, session.warm_health, *session.answers.values()]
    ids = [reply.header(REQUEST_ID) for reply in replies if reply.header(REQUEST_ID)]
    if len(set(ids)) < len(ids):
        advice = "A cache or CDN in front of the relay must not cache: callers get the answers of others."
        yield fault("caching", "two requests got the same answer", advice)
    elif not ids:
        yield fault("caching", f"no answer has {REQUEST_ID}", "Something removes the relay's headers.")
    else:
        yield ok("caching", "none: each answer has an id of its own")


def compression(session: Session) -> Iterator[Row]:
    """Whether something compresses the answers, for which it must hold them back."""
    coded = {
        f"{name}: {coding}"
        for name, reply in session.answers.items()
        if (coding := reply.header("content-encoding").lower()) not in ("", "identity")
    }
    if coded:
        advice = "A proxy or CDN compresses, and holds pieces back for it: switch that off for the relay."
        yield fault("compression", "; ".join(sorted(coded)), advice)
    elif session.answers:
        yield ok("compression", "none, although the probe offers gzip")
