"""Warns operators, in the log, of models in use that the upstream is about to shut down."""

from __future__ import annotations

import logging
import math
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from functools import cache, partial
from typing import Any

from chat_stream.transcripts.transcript import Transcript
from errors import UpstreamError
from models.allowed_models import Model
from models.listing import upstream_models
from models.shutdown import is_soon, plain_name, shutdown_dates
from upstream.client import Upstream

DAY_S = 24 * 3600.0
# While it reads the list, the environment is billed and can serve no caller: a slow upstream costs no more.
LIMIT_S = 3.0
SPARE_S = 10.0  # with less time left than this, the list is read after a later answer

_MODEL = re.compile(r"[A-Za-z0-9_.:/@+-]{1,128}")  # a caller's model name might hold anything

logger = logging.getLogger("stream_chat")


class ShutdownWarnings:
    """The warnings of one environment: at most one a day for each model in use.

    The list is read at most once a day, after an answer has ended, and never after a failed one: an upstream
    that has just answered is likely to list its models quickly. If it does not, operators need not know,
    because their answers arrive; the next attempt is a day later.

    Args:
        read_list: from the seconds that it may take to the upstream's models, or None if it has no list.
            Raises UpstreamError.
        clock: seconds since 1970. Not the monotonic clock, which may stand still while Lambda has frozen the
            environment.
        on_warning: called with the id of the answer of each warning.
    """

    def __init__(
        self,
        read_list: Callable[[float], list[Model] | None],
        clock: Callable[[], float] = time.time,
        on_warning: Callable[[str], None] = lambda id_: None,
    ) -> None:
        self._read_list = read_list
        self._clock = clock
        self._on_warning = on_warning
        self._next_read_at = -math.inf
        self._dates: Mapping[str, date] = {}
        self._warned_on: dict[str, date] = {}  # its names are those of `_dates`, so it stays small

    def after_answer(self, transcript: Transcript, remaining_s: float) -> None:
        """Warn if a model of this answer will be shut down soon. Never raises for the upstream's sake.

        Args:
            remaining_s: how long this invocation may still last.
        """
        now = self._clock()
        if transcript.outcome in ("failed", "truncated"):
            return
        if now >= self._next_read_at and remaining_s > SPARE_S:
            self._next_read_at = now + DAY_S
            self._read()
        today = datetime.fromtimestamp(now, UTC).date()
        for name in _models_of(transcript.document):
            day = self._dates.get(name)
            if day is not None and is_soon(day, today) and self._warned_on.get(name) != today:
                self._warned_on[name] = today
                _warn(name, day, (day - today).days)
                self._on_warning(transcript.id)

    def _read(self) -> None:
        try:
            models = self._read_list(LIMIT_S)
        except UpstreamError as error:
            logger.debug("the upstream's list of models cannot be read: %s", error.code)
            return
        self._dates = shutdown_dates(models or ())
        self._warned_on = {name: day for name, day in self._warned_on.items() if name in self._dates}


def _models_of(document: Mapping[str, Any]) -> list[str]:
    """The model that was asked for, and the one that answered: an alias and what it stands for."""
    names = (document["request"]["model"], document["response"]["model"])
    known = (name for name in names if isinstance(name, str) and _MODEL.fullmatch(name))
    return list(dict.fromkeys(map(plain_name, known)))


def _warn(model: str, day: date, days_left: int) -> None:
    what = "will be shut down" if days_left >= 0 else "was to be shut down"
    extra = {"model": model, "shutdown_date": day.isoformat(), "days_left": days_left}
    logger.warning("the model %s %s on %s", model, what, day.isoformat(), extra=extra)


@cache
def shutdown_warnings(upstream: Upstream, on_warning: Callable[[str], None]) -> ShutdownWarnings:
    """The warnings of this environment's upstream."""
    return ShutdownWarnings(partial(upstream_models, upstream), on_warning=on_warning)
