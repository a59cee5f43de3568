"""Finds what handles an HTTP request, by its path and method."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from answers import Answer
from errors import RequestError
from observability.request_trace import OTHER_ROUTE
from public.resumption import nothing_to_resume
from public.routes import OPEN_ROUTES, PLAYGROUND, OpenRoute
from quota.admission import Limits
from request import chat_request
from request.chat_request import ChatRequest
from request.http_request import HttpRequest
from settings import Settings
from upstream.client import Upstream


class Inquirer(NamedTuple):
    """A caller who asks for something other than a model's answer, and the sources that can tell them."""

    caller: str
    limits: Limits
    upstream: Upstream
    remaining_s: float  # how long this invocation may last


Inquiry = Callable[[Inquirer], Answer]  # raises RelayError
RouteParser = Callable[[HttpRequest, Settings], ChatRequest | Answer | Inquiry]


def _models(http: HttpRequest, settings: Settings) -> Inquiry:
    from models.listing import model_list  # no answer's first byte waits for it

    return lambda by: model_list(by.upstream, settings, by.remaining_s)


def _model(http: HttpRequest, settings: Settings) -> Inquiry:
    from models.listing import one_model  # likewise

    model_id = http.path.partition("/models/")[2]
    return lambda by: one_model(model_id, by.upstream, settings, by.remaining_s)


def _usage(http: HttpRequest, settings: Settings) -> Inquiry:
    from quota.usage_report import usage_report  # likewise

    return lambda by: usage_report(by.limits.usage(by.caller, settings))


USAGE = "/v1/usage"
MODELS, MODEL = "/v1/models", "/v1/models/{id}"
RESUMPTION = "/api/chat/{id}/stream"
ROUTES: Mapping[str, Mapping[str, RouteParser | OpenRoute]] = {
    chat_request.COMPLETIONS: {"POST": chat_request.parse_completion},
    chat_request.RESPONSES: {"POST": chat_request.parse_response},
    chat_request.UI_CHAT: {"POST": chat_request.parse_ui_conversation},
    MODELS: {"GET": _models},
    MODEL: {"GET": _model},
    USAGE: {"GET": _usage},
    RESUMPTION: {"GET": nothing_to_resume},
    chat_request.CHAT: {"GET": chat_request.parse_question, "POST": chat_request.parse_conversation},
    **{path: {"GET": route, "HEAD": route} for path, route in OPEN_ROUTES.items()},
}
# Version 5 of the AI SDK does not escape the id in the path, which may hold any characters; later ones do.
_RESUMPTION = re.compile(r"(?:/v1)?/api/chat/(?:.+/)?stream", re.DOTALL)
_WITHOUT_PLAYGROUND = {path: methods for path, methods in ROUTES.items() if path != PLAYGROUND}


def find_route(http: HttpRequest, settings: Settings) -> RouteParser | OpenRoute:
    """What answers this path and method.

    Raises:
        RequestError: 404 for an unknown path, 405 with `Allow` for a known path with another method.
    """
    routes = ROUTES if settings.playground else _WITHOUT_PLAYGROUND
    methods = routes.get(_route(http.path))
    if methods is None:
        known = ", ".join(f"{'/'.join(methods)} {path}" for path, methods in routes.items())
        raise RequestError(404, "unknown_route", f"Nothing is served at this path. The routes are: {known}.")
    if http.method not in methods:
        allowed = ", ".join(methods)
        raise RequestError(
            405, "method_not_allowed", f"This path takes {allowed} only.", headers={"allow": allowed}
        )
    return methods[http.method]


def route_name(path: str) -> str:
    """The route of a path, or OTHER_ROUTE: nothing else of a path is logged."""
    route = _route(path)
    return route if route in ROUTES else OTHER_ROUTE


def _route(path: str) -> str:
    """The route of a path: the base URL of an SDK may end in `/v1` or not."""
    if _RESUMPTION.fullmatch(path):
        return RESUMPTION
    if path.startswith(("/v1/models/", "/models/")):  # an id may hold slashes
        return MODEL
    return f"/v1{path}" if f"/v1{path}" in ROUTES else path
