"""TRANSCRIPT_ROUTES: which queue gets which transcripts."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from chat_stream.transcripts.schema import transcript_schema
from chat_stream.transcripts.transcript import Transcript
from settings_reading.readers import SettingsError
from settings_reading.sam_local import is_logical_name
from settings_reading.wildcards import matches_any

VARIABLE = "TRANSCRIPT_ROUTES"
EXAMPLE = '{"https://sqs.…/transcripts": {}, "https://sqs.…/failures": {"outcome": ["failed", "truncated"]}}'
FIELDS = ("outcome", "model", "caller")
OUTCOMES: list[str] = transcript_schema()["properties"]["outcome"]["enum"]


@dataclass(frozen=True, slots=True)
class Route:
    """A queue and the conditions that a transcript must all meet to be sent to it."""

    queue_url: str
    conditions: tuple[Condition, ...] = ()

    def admits(self, transcript: Transcript) -> bool:
        """Whether the queue gets this transcript."""
        document = transcript.document
        values = {
            "outcome": transcript.outcome,
            "model": document["request"]["model"],
            "caller": document["caller"],
        }
        return all(condition.met_by(values[condition.name]) for condition in self.conditions)


@dataclass(frozen=True, slots=True)
class Condition:
    """The patterns of which the field `name` must match one.

    In a pattern `*` stands for any characters. The pattern None matches a field that is null.
    """

    name: str
    patterns: tuple[str | None, ...]

    def met_by(self, value: str | None) -> bool:
        """Whether the field's value matches one of the patterns."""
        if value is None:
            return None in self.patterns
        return matches_any(value, (pattern for pattern in self.patterns if pattern is not None))


def parse_routes(text: str, *, takes_logical_names: bool = False) -> tuple[Route, ...]:
    """Parse the value of the variable.

    It is a JSON object that maps queue URLs to conditions, each a value or a list of values for `outcome`,
    `model` (the requested one) or `caller`. If every queue gets every transcript, it may be only the URLs: a
    JSON list, or separated by commas. `takes_logical_names` skips queues that are given by their name in the
    template, as `sam local` does. Raises SettingsError, which names the queue and the condition, and says
    what is expected.
    """
    text = text.strip()
    if text.startswith(("{", "[")):
        try:
            value = json.loads(text, object_pairs_hook=_without_duplicates)
        except (ValueError, RecursionError) as error:
            raise SettingsError(f"{VARIABLE} is not JSON ({error}); expected e.g. {EXAMPLE}") from None
    else:
        value = [url.strip() for url in text.split(",") if url.strip()]
    if isinstance(value, list):
        value = _without_duplicates([(url, {}) for url in value])
    if not value:
        raise SettingsError(f"{VARIABLE} must name at least one SQS queue URL, such as {EXAMPLE}")
    return tuple(
        _route(url, conditions)
        for url, conditions in value.items()
        if not (takes_logical_names and is_logical_name(url))
    )


def _route(url: Any, conditions: Any) -> Route:
    if not (isinstance(url, str) and re.fullmatch(r"https?://[^\s/]+/\S+", url)):
        raise SettingsError(f"{VARIABLE}: {url!r} is not an SQS queue URL")
    if not isinstance(conditions, dict):
        raise SettingsError(f"{VARIABLE}: {url}: should be an object of conditions ({{}} for none)")
    return Route(url, tuple(_condition(url, name, value) for name, value in conditions.items()))


def _condition(url: str, name: str, value: Any) -> Condition:
    where = f"{VARIABLE}: {url}: {name}"
    if name not in FIELDS:
        raise SettingsError(f"{where} is not a condition; there are {', '.join(FIELDS)}")
    patterns = value if isinstance(value, list) else [value]
    if not patterns or not all(pattern is None or isinstance(pattern, str) for pattern in patterns):
        raise SettingsError(f"{where} should be a string or a list of strings")
    unknown = [pattern for pattern in patterns if pattern not in OUTCOMES]
    if name == "outcome" and unknown:
        raise SettingsError(f"{where} should be one of {', '.join(OUTCOMES)}, not {unknown[0]!r}")
    return Condition(name, tuple(patterns))


def _without_duplicates(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for name, value in pairs:
        if not isinstance(name, str):
            raise SettingsError(f"{VARIABLE}: {name!r} is not an SQS queue URL")
        if name in found:
            raise SettingsError(f"{VARIABLE}: {name!r} is listed twice")
        found[name] = value
    return found
