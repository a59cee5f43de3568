"""From the path and method of an HTTP request to what handles it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from answers import Answer
from errors import RequestError
from observability.request_trace import OTHER_ROUTE
from public.resumption import nothing_to_resume
from public.routes import OPEN_ROUTES, PLAYGROUND, OpenRoute
from request import chat_request
from request.chat_request import ChatRequest
from request.http_request import HttpRequest
from settings import Settings
from upstream.client import Upstream

# Asks the upstream for something other than an answer: the arguments are it and what is left of the
# invocation in seconds. Raises RelayError.
Inquiry = Callable[[Upstream, float], Answer]
RouteParser = Callable[[HttpRequest, Settings], ChatRequest | Answer | Inquiry]


def _models(http: HttpRequest, settings: Settings) -> Inquiry:
    from models.listing import model_list  # no answer's first byte waits for it

    return lambda upstream, remaining_s: model_list(upstream, settings, remaining_s)


def _model(http: HttpRequest, settings: Settings) -> Inquiry:
    from models.listing import one_model  # likewise

    model_id = http.path.partition("/models/")[2]
    return lambda upstream, remaining_s: one_model(model_id, upstream, settings, remaining_s)


MODELS, MODEL = "/v1/models", "/v1/models/{id}"
RESUMPTION = "/api/chat/{id}/stream"
ROUTES: Mapping[str, Mapping[str, RouteParser | OpenRoute]] = {
    chat_request.COMPLETIONS: {"POST": chat_request.parse_completion},
    chat_request.RESPONSES: {"POST": chat_request.parse_response},
    chat_request.UI_CHAT: {"POST": chat_request.parse_ui_conversation},
    MODELS: {"GET": _models},
    MODEL: {"GET": _model},
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
