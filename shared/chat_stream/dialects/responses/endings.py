"""How a response ends: which events and documents say so, under whichever name.

Bracketed names are the threads in which a provider's oddity was seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat_stream.dialects.failures import failure_of

# How a response ends, from best to worst. Where an event's name and its response's status disagree, the worse
# is believed: some gateways call a response completed whose status says incomplete [litellm#40833].
ENDINGS = ("completed", "incomplete", "failed", "cancelled")

_ENDINGS_BY_STATUS = {**{ending: ending for ending in ENDINGS}, "canceled": "cancelled"}

# What gateways call the last event, whatever its response's status.
_DONE = ("response.done", "done")

# Where the response has not ended, whatever its status says: some gateways copy the final one into each.
_PROGRESS = ("response.created", "response.queued", "response.in_progress")


def response_in(name: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The response that an event carries. Some upstreams spread its fields over the event itself."""
    response = event.get("response")
    if isinstance(response, dict) and response:
        return response
    if event.get("object") != "response" and _ending_named(name) is None and name not in _DONE:
        return {}
    return {key: value for key, value in event.items() if key not in ("type", "sequence_number", "response")}


def ending_in(name: str, response: Mapping[str, Any]) -> str | None:
    """How the response ends with this event; None where it goes on.

    The API's own names count by themselves, with the worse of name and status. Under any other name, or none
    (`response.done`, `done` [9router#2142, oh-my-pi#4692]), the status tells. So one that is not final ends
    nothing there; but `response.done` without any is the end, as it is to all who know that name.
    """
    told, named = _ending(response.get("status")), _ending_named(name)
    if named:
        return max(named, told or named, key=ENDINGS.index)
    if name in _PROGRESS:
        return None
    if name == "response.done" and not response.get("status"):
        return "failed" if response.get("error") else "completed"
    return told


def is_response(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a response."""
    return document.get("object") == "response" or isinstance(document.get("output"), list)


def ending_of(document: Mapping[str, Any]) -> str | None:
    """How a whole response has ended, one of ENDINGS; None for one that has not.

    One without a status is whole because it is there; one with an error instead says that by itself.
    """
    status = document.get("status")
    if status is None and is_response(document) and not failure_of(document):
        return "completed"
    return _ending(status)


def is_failed_response(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a response that has failed, or was cancelled."""
    return is_response(document) and ending_of(document) in ("failed", "cancelled")


def _ending_named(name: str) -> str | None:
    """The ending for which the API has an event of this name, in either spelling."""
    family, _, step = name.rpartition(".")
    return _ending(step) if family == "response" else None


def _ending(status: Any) -> str | None:
    """The status, if it is one in which a response has ended."""
    return _ENDINGS_BY_STATUS.get(status) if isinstance(status, str) else None
