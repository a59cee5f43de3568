"""The streaming function: parse, authorize, open, relay, hand off."""

from __future__ import annotations

import upstream.certificates  # noqa: F401 - begins to read them while the rest is imported

# isort: split
import logging
import os
from functools import partial
from typing import Any, NamedTuple

from answers import Answer, error_answer
from callers.identification import identifier
from chat_stream.transcripts.transcript import Transcript
from errors import RelayError, RequestError
from handoff.handoff import Handoff
from lambda_stream import CallerGoneError, LambdaContext, ResponseStream, streaming_handler
from log_privacy import keep_libraries_quiet, redacted
from observability.meter import Meter
from observability.request_log import log_answer, log_refusal
from observability.request_trace import RequestTrace, traceparent
from public.routes import OpenRoute
from quota.admission import Admission
from quota.limits import limits
from relay import Relay
from request.chat_request import ChatRequest, refuse_reconnect
from request.http_request import HttpRequest, is_http_request, path_of
from routing import Inquirer, find_route, route_name
from settings import VARIABLE_NAMES, Settings
from settings_reading.sam_local import is_sam_local
from settings_reading.unknown_names import misspelt, misspelt_variables
from upstream.client import Upstream

FAULT: str | None = None  # why nothing can be relayed; except under `sam local` the fault is raised
if is_sam_local(os.environ):
    from settings_under_sam_local import settings_under_sam_local

    SETTINGS, FAULT = settings_under_sam_local(os.environ)
else:
    SETTINGS = Settings.from_environment(os.environ)
IDENTIFY = identifier(SETTINGS)
LIMITS = limits(SETTINGS)
UPSTREAM = Upstream(SETTINGS)
METER = Meter(SETTINGS)
HANDOFF = Handoff(SETTINGS, on_failure=METER.handoff_failed)

logging.getLogger().setLevel(SETTINGS.log_level)
keep_libraries_quiet()
logger = logging.getLogger("stream_chat")
for variable, nearest_setting in misspelt_variables(os.environ, VARIABLE_NAMES):
    logger.warning(misspelt(variable, nearest_setting))


class AdmittedRequest(NamedTuple):
    """A valid request of a known caller who may have an answer now."""

    chat: ChatRequest
    caller: str
    admission: Admission


@partial(streaming_handler, streams=is_http_request)
@partial(redacted, expected=(CallerGoneError,))
def handle(event: Any, stream: ResponseStream, context: LambdaContext) -> None:
    """Answer one HTTP event of the function URL or the REST API; any other event is acknowledged."""
    trace = RequestTrace()
    try:
        request = _admitted(event, context, trace)
    except RelayError as error:
        request = error_answer(error)
        stream.after_response(redacted(partial(_note_refusal, error, trace, context.aws_request_id)))
    except Exception:
        fault = RelayError(500, "internal_error", "The relay itself failed.")  # the runtime logs how
        stream.after_response(redacted(partial(_note_refusal, fault, trace, context.aws_request_id)))
        raise
    if isinstance(request, Answer):
        request.send(stream, context.aws_request_id)
        return
    chat, caller, admission = request
    relay = Relay(
        chat,
        stream,
        UPSTREAM,
        request_id=context.aws_request_id,
        headers=admission.headers,
        caller=caller,
        traceparent=trace.traceparent,
        remaining_s=remaining_s(context),
        on_answer=partial(_on_answer_started, chat.route),
    )
    del request, chat  # megabytes, which are not needed once they have been sent
    stream.after_response(redacted(relay.add_cost))
    stream.after_response(redacted(lambda: HANDOFF.send(relay.transcript, remaining_s(context))))
    stream.after_response(redacted(lambda: log_answer(relay.transcript)))
    stream.after_response(redacted(lambda: admission.book(relay.transcript, remaining_s(context))))
    stream.after_response(redacted(lambda: METER.answered(relay.transcript)))
    if not is_sam_local(os.environ):  # its callers wait until everything here has been done
        stream.after_response(redacted(lambda: _warn_of_shutdown(relay.transcript, remaining_s(context))))
    relay.run()


def _admitted(event: Any, context: LambdaContext, trace: RequestTrace) -> AdmittedRequest | Answer:
    """Parse and authorize: the request for the model, or the answer if the model is not needed.

    Args:
        trace: is told the route, the caller and their trace as soon as they are known.

    Raises:
        RequestError: the request is invalid or not allowed.
        UpstreamError: the upstream was asked for something other than an answer, and failed.
    """
    if not is_http_request(event):
        from public.other_events import acknowledged  # only when needed: no first byte waits for it

        return acknowledged(event)
    trace.route = route_name(path_of(event))
    http = HttpRequest.from_event(event, SETTINGS.max_body_bytes)
    trace.traceparent = traceparent(http.headers)
    event.pop("body", None)  # megabytes, which would otherwise stay in memory until the answer has ended
    route = find_route(http, SETTINGS)
    if isinstance(route, OpenRoute):
        return route.answer(http)
    if FAULT is not None:
        raise RequestError(500, "settings_error", FAULT, type="server_error")
    caller = trace.caller = IDENTIFY(http)
    settings = SETTINGS.for_caller(caller)
    chat = route(http, settings)
    if isinstance(chat, Answer):
        return chat
    if not isinstance(chat, ChatRequest):
        return chat(Inquirer(caller, LIMITS, UPSTREAM, remaining_s(context)))
    refuse_reconnect(http, chat)
    return AdmittedRequest(chat, caller, LIMITS.admit(caller, settings, chat))


def _note_refusal(error: RelayError, trace: RequestTrace, request_id: str) -> None:
    log_refusal(error, trace)
    METER.refused(error, trace, request_id)


def remaining_s(context: LambdaContext) -> float:
    """How long this invocation may still last."""
    return context.get_remaining_time_in_millis() / 1000


def _warn_of_shutdown(transcript: Transcript, remaining_s: float) -> None:
    from models.shutdown_warnings import shutdown_warnings  # no first byte waits for it

    shutdown_warnings(UPSTREAM, METER.shutdown_warned).after_answer(transcript, remaining_s)


def _on_answer_started(route: str) -> None:
    """The caller has the first bytes. If the environment is killed now, this line is all that it leaves."""
    logger.debug("%s has begun to answer", route, extra={"route": route})
    HANDOFF.prepare()
