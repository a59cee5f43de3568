"""How a response ends: the events and documents that show it, under the names that gateways use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from chat_stream.dialects.failures import failure_of

# The endings of a response, from best to worst. If an event's name and its response's status disagree, the
# worse one counts: some gateways call a response completed whose status is incomplete [litellm#40833].
ENDINGS = ("completed", "incomplete", "failed", "cancelled")

_ENDINGS_BY_STATUS = {**{ending: ending for ending in ENDINGS}, "canceled": "cancelled"}

# Names that gateways give to the last event, whatever the status of its response.
_DONE_NAMES = ("response.done", "done")

# Events that never end a response: some gateways copy the final status into each of them.
_PROGRESS_NAMES = ("response.created", "response.queued", "response.in_progress")


def response_in(name: str, event: Mapping[str, Any]) -> Mapping[str, Any]:
    """The response in an event. Some upstreams put its fields at the top level of the event."""
    response = event.get("response")
    if isinstance(response, dict) and response:
        return response
    if event.get("object") != "response" and _ending_named(name) is None and name not in _DONE_NAMES:
        return {}
    return {key: value for key, value in event.items() if key not in ("type", "sequence_number", "response")}


def ending_of_event(name: str, response: Mapping[str, Any]) -> str | None:
    """How the response ends with this event, one of ENDINGS; None if it continues.

    If the API has an ending of the event's name, the worse of name and status counts. For any other name
    (`response.done`, `done` [9router#2142, oh-my-pi#4692]) the status alone counts, and one that is not final
    ends nothing. But `response.done` without a status is an ending, as it is for other clients.
    """
    by_status, by_name = _ending(response.get("status")), _ending_named(name)
    if by_name:
        return max(by_name, by_status or by_name, key=ENDINGS.index)
    if name in _PROGRESS_NAMES:
        return None
    if name == "response.done" and not response.get("status"):
        return "failed" if response.get("error") else "completed"
    return by_status


def is_response(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a response."""
    return document.get("object") == "response" or isinstance(document.get("output"), list)


def ending_of_response(document: Mapping[str, Any]) -> str | None:
    """How a response that was not streamed has ended, one of ENDINGS; None if it has not.

    A response without a status counts as completed, unless it reports an error.
    """
    status = document.get("status")
    if status is None and is_response(document) and not failure_of(document):
        return "completed"
    return _ending(status)


def is_failed_response(document: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a response that has failed or was cancelled."""
    return is_response(document) and ending_of_response(document) in ("failed", "cancelled")


def _ending_named(name: str) -> str | None:
    """The ending in the name of one of the API's events, such as `response.completed`; None for any other."""
    family, _, step = name.rpartition(".")
    return _ending(step) if family == "response" else None


def _ending(status: Any) -> str | None:
    """The ending that a status means; None if it is not final."""
    return _ENDINGS_BY_STATUS.get(status) if isinstance(status, str) else None
