"""Who reaches the relay, who may call, and how refusals look. None of these requests reaches the model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from local.probe.caller import Reply, Who
from local.probe.session import QUESTIONS_PATH, REQUEST_ID, Session
from local.verdicts import Row, fault, ok
from product import VERSION

# A known caller gets a 400 for it, anyone else a 401. It costs nothing, even if the relay is open.
INVALID: Mapping[str, Any] = {"messages": [], "stream": True}

PERMISSIONS = (
    "The function URL refuses every caller: they need lambda:InvokeFunctionUrl and, since October 2025, also "
    "lambda:InvokeFunction. Deploy the template again, which grants both. With AuthMode iam: AUTH=iam."
)


def reachable(session: Session) -> Iterator[Row]:
    """Whether the URL is a relay's."""
    subject, reply = "reachable", session.first_health
    if not reply.status:
        yield fault(subject, reply.failure, "Check URL: its host, its port, https, and the network between.")
    elif reply.status == 403:
        signed = "AUTH=iam: the credentials need the policy CallerPolicyArn of the stack's outputs."
        yield fault(subject, reply.excerpt, signed if session.options.auth == "iam" else PERMISSIONS)
    elif reply.status == 429 or reply.status >= 500:
        yield fault(subject, reply.excerpt, "The function fails or is throttled: see its log and its alarms.")
    elif not is_relay(reply):
        advice = "URL must be the relay's base: the stack's output FunctionUrl or RestApiUrl."
        yield fault(subject, f"no relay answers here: {reply.excerpt}", advice)
    else:
        yield ok(subject, f"GET /health in {reply.ended_s * 1000:.0f} ms")


def is_relay(health: Reply) -> bool:
    """Whether this is a relay's answer to GET /health."""
    document = health.document()
    is_health = document.get("status") == "ok" and "version" in document
    return health.status == 200 and not health.failure and is_health


def version(session: Session) -> Iterator[Row]:
    """Whether the deployed version is that of this folder."""
    deployed = str(session.first_health.document()["version"])
    if deployed == VERSION:
        yield ok("version", deployed)
    else:
        advice = "Deploy this version, or probe from a checkout of the deployed one."
        yield fault("version", f"{deployed} is deployed, this folder is {VERSION}", advice)


def callers(session: Session) -> Iterator[Row]:
    """Whether the relay admits callers with a valid key, token or signature, and no others."""
    auth = session.options.auth
    yield _nobody(session, _refused(session, "nobody"))
    if auth == "key":
        stranger = _refused(session, "stranger")
        if stranger.status == 401:
            yield ok("a wrong key", "401")
        else:
            yield fault("a wrong key", f"is let in: {stranger.excerpt}", _LET_IN)
    own = _refused(session, "caller")
    subject = {"key": "your key", "iam": "your signature"}.get(auth)
    if subject and own.status in (401, 403):
        advice = "The relay must know this key's hash (`make caller`), or JWT_… must fit this token."
        yield fault(subject, own.excerpt, advice)
    elif subject:
        yield ok(subject, "is accepted")


_LET_IN = (
    "Anybody can spend your tokens: AuthMode must not be none, and nothing in front of the relay may add a"
    " key of its own."
)


def _refused(session: Session, who: Who) -> Reply:
    return session.caller.ask("POST", QUESTIONS_PATH, INVALID, who=who)


def _nobody(session: Session, reply: Reply) -> Row:
    subject, auth = ("without a signature", "iam") if session.options.auth == "iam" else ("without a key", "")
    if reply.status == (403 if auth == "iam" else 401):
        if session.options.auth == "none":
            return fault(subject, "401", "Callers need a key or a token here: give one as KEY.")
        return ok(subject, str(reply.status))
    if reply.status == 400 and session.options.auth == "none" and session.options.is_local:
        return ok(subject, "anyone on this machine may ask")
    if reply.status == 400:
        return fault(subject, "anyone may ask", _LET_IN)
    return fault(subject, reply.excerpt, "A caller without a key should get 401.")


def refusals(session: Session) -> Iterator[Row]:
    """Whether errors have a true status and OpenAI's shape."""
    ask = session.caller.ask
    cases = (
        ("an invalid request", 400, ask("POST", QUESTIONS_PATH, INVALID)),
        ("an unknown path", 404, ask("GET", "/no-such-path")),
        ("a wrong method", 405, ask("DELETE", QUESTIONS_PATH)),
    )
    wrong = [f"{case}: {problem}" for case, status, reply in cases if (problem := _problem(reply, status))]
    if wrong:
        advice = "Something in front of the relay replaces its errors, which SDKs can then not read."
        yield fault("errors", "\n".join(wrong), advice)
    else:
        yield ok("errors", "400, 404 and 405 in OpenAI's shape")


def _problem(reply: Reply, status: int) -> str:
    """What is wrong with an error that should have this status; empty if nothing is."""
    if reply.status != status or reply.failure:
        return f"{reply.excerpt} instead of {status}"
    error = reply.document().get("error")
    if reply.media_type != "application/json" or not isinstance(error, dict):
        return f"not a JSON error, but {reply.media_type or 'no content type'}: {reply.excerpt}"
    missing = [name for name in ("message", "type", "param", "code") if name not in error]
    if missing:
        return f"an error without {', '.join(missing)}"
    return "" if reply.header(REQUEST_ID) else f"without {REQUEST_ID}, so not the relay's own"
