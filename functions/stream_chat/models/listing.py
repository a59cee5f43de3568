"""`GET /v1/models` and `GET /v1/models/{id}`: the upstream's list, read every few minutes."""

from __future__ import annotations

import threading
import time
from contextlib import closing
from functools import cache
from urllib.parse import unquote

from answers import Answer, json_answer
from errors import RequestError, UpstreamError
from lambda_stream import Watchdog
from models.allowed_models import Model, allowed_models, models_in
from settings import Settings
from upstream.client import Upstream
from upstream.failures import first_byte_timeout

PATH = "/models"  # below the upstream's base URL
CACHE_AGE_S = 300
# The upstream has no list, or its key may not read it: OpenAI's restricted keys get a 403.
_NO_LIST = (403, 404, 405, 501)


def model_list(upstream: Upstream, settings: Settings, remaining_s: float) -> Answer:
    """The models that a caller may use.

    Args:
        settings: those of the caller.
        remaining_s: how long this invocation may last.

    Raises:
        UpstreamError: the upstream has not answered, or with an error.
    """
    models = allowed_models(_listing(upstream).read(remaining_s), settings)
    return json_answer({"object": "list", "data": models})


def one_model(model_id: str, upstream: Upstream, settings: Settings, remaining_s: float) -> Answer:
    """One of the models that a caller may use.

    Args:
        model_id: as in the path, percent-encoded or not.

    Raises:
        RequestError: 404 for any other model.
        UpstreamError: as in `model_list`.
    """
    names = (model_id, unquote(model_id))
    for model in allowed_models(_listing(upstream).read(remaining_s), settings):
        if model["id"] in names:
            return json_answer(model)
    message = f"The model '{names[1][:100]}' does not exist, or this caller may not use it."
    raise RequestError(404, "model_not_found", message, param="model")


def upstream_models(upstream: Upstream, limit_s: float) -> list[Model] | None:
    """Every model that the upstream lists; None if it has no list.

    Args:
        limit_s: how long to wait for it.

    Raises:
        UpstreamError: as in `model_list`.
    """
    return _listing(upstream).read(2 * limit_s)


class _Listing:
    """The upstream's list and its age."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._models: list[Model] | None = None
        self._stale_at = 0.0

    def read(self, remaining_s: float) -> list[Model] | None:
        """The models; None if the upstream has no list. Raises UpstreamError, after which it reads again."""
        if time.monotonic() >= self._stale_at:
            self._models = self._ask(min(self._upstream.settings.first_byte_timeout_s, remaining_s / 2))
            self._stale_at = time.monotonic() + CACHE_AGE_S
        return self._models

    def _ask(self, limit_s: float) -> list[Model] | None:
        began_at = time.monotonic()
        # The exchange's own deadline is later, so that there is no doubt which of the two has ended it.
        exchange = self._upstream.exchange(
            PATH, b"", method="GET", streamed=False, deadline_at=began_at + 2 * limit_s
        )
        limits, too_late = exchange.limits, first_byte_timeout(limit_s)
        with closing(exchange), Watchdog(threading.RLock()) as watchdog:
            watchdog.add(lambda: None if limits.was_cut else began_at + limit_s, lambda: limits.cut(too_late))
            try:
                exchange.open(on_limit=watchdog.wake)
                models = models_in(exchange.read_document())
            except UpstreamError as error:
                if exchange.status in _NO_LIST or error.code == "not_event_stream":
                    return None
                raise
        return None if models is None else exchange.redaction.document({"data": models})["data"]


@cache
def _listing(upstream: Upstream) -> _Listing:
    """The listing of this environment's upstream."""
    return _Listing(upstream)
