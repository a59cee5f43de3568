"""Checks of what browsers need: CORS, and an EventSource that ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

from chat_stream.sse import EventStreamParser
from local.probe.access import INVALID
from local.probe.caller import Reply
from local.probe.formats import BRIEF_QUESTION, FORMATS
from local.probe.session import QUESTIONS_PATH, Session
from local.verdicts import Row, fault, not_tried, ok

FOREIGN_ORIGIN = "https://foreign-origin.example"
ALLOW_ORIGIN = "access-control-allow-origin"
NEEDED_HEADERS = ("authorization", "content-type")
HANG_LIMIT_S = 10.0

TWICE = "Browsers refuse doubled CORS headers. Set them in one place only: the template's Cors."


def cross_origin(session: Session) -> Iterator[Row]:
    """Which origins' pages may call."""
    options = session.options
    parts = urlsplit(options.url)
    allowed = options.origin or (f"{parts.scheme}://{parts.netloc}" if options.is_local else "")
    if not allowed or allowed == "*":
        yield not_tried("CORS: your origin", "give an allowed page's origin as ORIGIN=https://…")
    else:
        yield _allowed(session, allowed)
    yield _foreign(session, is_listed=bool(allowed) and allowed != "*")


def _preflight(session: Session, origin: str) -> Reply:
    headers = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": ",".join(NEEDED_HEADERS),
    }
    return session.caller.ask("OPTIONS", QUESTIONS_PATH, headers=headers, who="nobody")


def _answers(session: Session, origin: str) -> list[Reply]:
    """An answer and a refusal to a page of this origin."""
    health = session.caller.ask("GET", "/health", headers={"origin": origin})
    return [health, session.caller.ask("POST", QUESTIONS_PATH, INVALID, {"origin": origin})]


def _allowed(session: Session, origin: str) -> Row:
    subject = "CORS: your origin"
    preflight = _preflight(session, origin)
    answers = _answers(session, origin)
    if doubled := sorted({name for reply in (preflight, *answers) for name in _doubled(reply)}):
        return fault(subject, f"sent twice: {', '.join(doubled)}", TWICE)
    if not 200 <= preflight.status < 300:
        advice = "The template's Cors must answer OPTIONS."
        return fault(subject, f"the preflight: {preflight.excerpt}", advice)
    if not all(_allows(reply, origin) for reply in (preflight, *answers)):
        found = f"{origin} is not allowed: {preflight.header(ALLOW_ORIGIN) or 'no ' + ALLOW_ORIGIN}"
        return fault(subject, found, "AllowedOrigins must list it, exactly as browsers write it.")
    missing = _not_covered(preflight)
    if missing:
        advice = "The template's AllowHeaders must list them."
        return fault(subject, f"pages may not send {', '.join(missing)}", advice)
    return ok(subject, f"{origin} may call; each header is there once")


def _not_covered(preflight: Reply) -> list[str]:
    """The method and the headers that a page needs and the preflight does not allow."""
    methods = _listed(preflight, "access-control-allow-methods")
    headers = _listed(preflight, "access-control-allow-headers")
    # Fetch, section 4.9: `*` does not cover the authorization header. POST needs no permission at all.
    missing = [name for name in NEEDED_HEADERS if name not in headers]
    missing = [name for name in missing if name == "authorization" or "*" not in headers]
    return missing if not methods or methods & {"post", "*"} else ["POST", *missing]


def _listed(reply: Reply, name: str) -> set[str]:
    return {value.strip().lower() for value in reply.header(name).split(",") if value.strip()}


def _doubled(reply: Reply) -> list[str]:
    """CORS headers that come twice, as two lines or as two values in one."""
    counted = Counter(name for name, _ in reply.headers if name.startswith("access-control-"))
    twice = [name for name, count in counted.items() if count > 1]
    if ALLOW_ORIGIN not in twice and "," in reply.header(ALLOW_ORIGIN):
        twice.append(ALLOW_ORIGIN)
    return twice


def _allows(reply: Reply, origin: str) -> bool:
    return bool({origin, "*"} & {value.strip() for value in reply.header(ALLOW_ORIGIN).split(",")})


def _foreign(session: Session, *, is_listed: bool) -> Row:
    subject = "CORS: a foreign origin"
    replies = [_preflight(session, FOREIGN_ORIGIN), *_answers(session, FOREIGN_ORIGIN)]
    if doubled := sorted({name for reply in replies for name in _doubled(reply)}):
        return fault(subject, f"sent twice: {', '.join(doubled)}", TWICE)
    if not any(_allows(reply, FOREIGN_ORIGIN) for reply in replies):
        return ok(subject, f"{FOREIGN_ORIGIN} is not allowed")
    if is_listed:
        return fault(subject, f"{FOREIGN_ORIGIN} may call", "AllowedOrigins must list your own origins only.")
    if session.options.auth == "none":
        return fault(subject, "every page may call, without a key", "Set AuthMode, or list AllowedOrigins.")
    return ok(subject, "every page may call (AllowedOrigins *), with a key of its own")


def event_source(session: Session) -> Iterator[Row]:
    """Whether an EventSource ends: it asks again when a stream has ended, and only an error stops it."""
    subject = "EventSource's end"
    method, path, body, headers = FORMATS["EventSource"].request(BRIEF_QUESTION, session.options.model)
    reconnect = {**headers, "last-event-id": "probe-1"}
    reply = session.caller.ask(method, path, body, reconnect, silence_limit_s=HANG_LIMIT_S)
    first = session.answers.get("EventSource")
    if first is not None and first.status == 200 and not _has_ids(first):
        forever = "Browsers then reconnect without Last-Event-ID, forever."
        yield fault(subject, "the events have no id", forever)
    elif reply.failure and (reply.status != 200 or not reply.body):
        hanging = "An empty streamed body hangs on AWS: the answer needs a body. Deploy the newest version."
        yield fault(subject, f"a reconnect hangs: {reply.excerpt}", hanging)
    elif reply.status == 200:
        endless = "Each end of an answer asks the model again, forever. The status must not be 200."
        yield fault(subject, f"a reconnect is answered anew: {reply.excerpt}", endless)
    elif not reply.body:
        empty = "An empty streamed body hangs on AWS, on some accounts for minutes: the answer needs a body."
        yield fault(subject, f"a reconnect gets {reply.excerpt}", empty)
    else:
        yield ok(subject, f"a reconnect gets {reply.status}, and ends")


def _has_ids(reply: Reply) -> bool:
    has_id = any(line.startswith("id:") for line in reply.text.splitlines())
    return has_id and bool(EventStreamParser().feed(reply.body))
