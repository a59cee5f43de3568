"""The streaming function: parse, authorize, open, relay, hand off."""

from __future__ import annotations

import upstream.certificates  # noqa: F401 - begins to read them while the rest is imported

# isort: split
import logging
import os
import re
from functools import partial
from typing import Any

from callers.identification import identifier
from chat_stream.transcripts.transcript import Transcript
from errors import RequestError
from handoff.handoff import Handoff
from lambda_stream import CallerGone, LambdaContext, ResponseStream, streaming_handler
from log_privacy import keep_libraries_quiet, wordless_errors
from public.routes import NO_CONTENT, OpenAnswer, OpenRoute
from quota.admission import limits
from relay import REQUEST_ID_HEADER, Relay, answer_error
from request.chat_request import find_route, is_asked_again
from request.http_request import HttpRequest, is_http_request
from sam_local import is_sam_local
from settings import Settings
from upstream.client import Upstream

CODE = re.compile(r"[A-Za-z0-9_.-]{1,64}")
MODEL = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}")

FAULT: str | None = None  # why nothing can be relayed; elsewhere than under `sam local` it is raised
if is_sam_local(os.environ):
    from settings_under_sam_local import settings_under_sam_local

    SETTINGS, FAULT = settings_under_sam_local(os.environ)
else:
    SETTINGS = Settings.from_environment(os.environ)
IDENTIFY = identifier(SETTINGS)
LIMITS = limits(SETTINGS)
UPSTREAM = Upstream(SETTINGS)
HANDOFF = Handoff(SETTINGS)

logging.getLogger().setLevel(SETTINGS.log_level)
keep_libraries_quiet()
logger = logging.getLogger("stream_chat")


@partial(streaming_handler, streams=is_http_request)
@wordless_errors(CallerGone)
def handle(event: Any, stream: ResponseStream, context: LambdaContext) -> None:
    """Answer one HTTP event of the function URL or the REST API; any other event is acknowledged."""
    request_id = context.aws_request_id
    if not is_http_request(event):
        from other_events import acknowledged  # no caller's first byte waits for it

        _answer(stream, acknowledged(event), request_id)
        return
    try:
        http = HttpRequest.from_event(event, SETTINGS.max_body_bytes)
        event.pop("body", None)  # megabytes, which would stay to the end of the answer
        route = find_route(http, SETTINGS)
        if isinstance(route, OpenRoute):
            _answer(stream, route.answer(http), request_id)
            return
        _refuse_without_settings()
        caller = IDENTIFY(http)
        settings = SETTINGS.for_caller(caller)
        chat = route(http, settings)
        if isinstance(chat, OpenAnswer):
            _answer(stream, chat, request_id)
            return
        http = http._replace(body=b"")
        if is_asked_again(http, chat):
            _answer(stream, NO_CONTENT, request_id)
            return
        admission = LIMITS.admit(caller, settings, chat)
    except RequestError as error:
        answer_error(stream, error, {REQUEST_ID_HEADER: request_id})
        return
    relay = Relay(
        chat,
        stream,
        UPSTREAM,
        request_id=request_id,
        headers=admission.headers,
        caller=caller,
        remaining_s=remaining_s(context),
        on_answer=partial(_begun, chat.route),
    )
    for work in (
        lambda: HANDOFF.send(relay.transcript, remaining_s(context)),
        lambda: _log(relay.transcript),
        lambda: admission.book(relay.transcript, remaining_s(context)),
    ):
        stream.after_response(wordless_errors()(work))
    relay.run()


def _refuse_without_settings() -> None:
    if FAULT is not None:
        raise RequestError(500, "settings_error", FAULT, type="server_error")


def _answer(stream: ResponseStream, answer: OpenAnswer, request_id: str) -> None:
    stream.start(answer.status, {**answer.headers, REQUEST_ID_HEADER: request_id})
    stream.write(answer.body)


def remaining_s(context: LambdaContext) -> float:
    """How long this invocation may still last."""
    return context.get_remaining_time_in_millis() / 1000


def _begun(route: str) -> None:
    """The caller has the first bytes: what an environment that is killed now leaves behind is this line."""
    logger.debug("%s has begun to answer", route, extra={"route": route})
    HANDOFF.prepare()


def _log(transcript: Transcript) -> None:
    """One record for each answer: what happened and how long it took, never what was said."""
    document = transcript.document
    timings = document["timings"]
    # The reason may be a code of the upstream's: one that is no plain name might hold anything.
    reason = document["reason"] if CODE.fullmatch(document["reason"] or "") else None
    # So may a model be what a caller has typed.
    model = document["request"]["model"]
    logger.info(
        "%s %s in %d ms",
        document["route"],
        f"{transcript.outcome} ({reason})" if reason else transcript.outcome,
        timings["duration_ms"],
        extra={
            "outcome": transcript.outcome,
            "reason": reason,
            "route": document["route"],
            "caller": document["caller"],
            "model": model if MODEL.fullmatch(model or "") else None,
            "upstream_attempts": document["upstream"]["attempts"],
            **timings,
        },
    )
