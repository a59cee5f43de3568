"""When the upstream shuts a model down, by its list of models (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any

from chat_stream.json_values import object_in
from models.allowed_models import GEMINI_PREFIX

NOTICE = timedelta(days=30)
_LATEST_SECONDS = 10**11  # the year 5138; larger numbers are milliseconds


def shutdown_date(model: Mapping[str, Any]) -> date | None:
    """The day on which the model is shut down (UTC); None if its entry names none that can be read.

    It reads OpenAI's `shutdown_date` and Azure's `deprecation.inference`: seconds since 1970, or an ISO date
    with or without a time.
    """
    of_azure = object_in(model.get("deprecation")).get("inference")
    return _date(model.get("shutdown_date")) or _date(of_azure)


def shutdown_dates(models: Iterable[Mapping[str, Any]]) -> dict[str, date]:
    """Model name → the day of its shutdown, of those models that have one."""
    return {
        plain_name(str(model["id"])): day for model in models if (day := shutdown_date(model)) is not None
    }


def plain_name(model: str) -> str:
    """The model's name without the prefix with which Gemini lists it, and takes it as well."""
    return model.removeprefix(GEMINI_PREFIX)


def is_soon(day: date, today: date) -> bool:
    """Whether that day is at most NOTICE away, or has passed."""
    return day - today <= NOTICE


def _date(value: object) -> date | None:
    try:
        if isinstance(value, str) and not value.strip().isdecimal():
            moment = datetime.fromisoformat(value.strip())
            return (moment if moment.tzinfo is None else moment.astimezone(UTC)).date()
        if isinstance(value, (str, int, float)) and not isinstance(value, bool):
            seconds = float(value)
            seconds = seconds / 1000 if seconds > _LATEST_SECONDS else seconds
            return datetime.fromtimestamp(seconds, UTC).date() if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None
    return None
