"""The answers of `sam local` to each file of events/ with the template's defaults, with or without a key."""

from __future__ import annotations

import json
from typing import Any

from product import VERSION
from tests.support.project import PROJECT

EVENTS = sorted((PROJECT / "events").glob("*.json"))
COMPANIONS = {
    "transcript": "PublishTranscriptFunction",
    "archive-transcripts": "ArchiveTranscriptsFunction",
    "redrive-everything": "RedriveTranscriptsFunction",
}
SAID_BY = {
    "StreamChatFunction": "sam local: the companion is switched off",
    "PublishTranscriptFunction": "sam local: the queues exist only in the template",
    "ArchiveTranscriptsFunction": "sam local: the archive exists only in the template",
    "RedriveTranscriptsFunction": "sam local: the queues exist only in the template",
}
RETURNED_BY = {
    "PublishTranscriptFunction": None,
    "ArchiveTranscriptsFunction": {
        "batchItemFailures": [{"itemIdentifier": "2e1424d4-f796-459a-8184-9c92662be6da"}]
    },
    "RedriveTranscriptsFunction": {},
}


def function_of(event: str) -> str:
    """The function that this event is for."""
    return COMPANIONS.get(event, "StreamChatFunction")


def check_return(event: str, returned: Any, *, has_key: bool) -> None:
    """Assert that the function returned the right value for its event."""
    function = function_of(event)
    if function != "StreamChatFunction":
        assert returned == RETURNED_BY[function]
    else:
        check_answer(event, returned["statusCode"], returned["body"], has_key=has_key)


def check_answer(event: str, status: int, body: str, *, has_key: bool) -> None:
    """Assert the answer to an HTTP event. By default there is no playground, and there are no caller keys."""
    code = json.loads(body).get("error", {}).get("code")
    if event == "health":
        assert (status, json.loads(body)) == (200, {"status": "ok", "version": VERSION})
    elif event == "playground":
        assert (status, code) == (404, "unknown_route")
    elif has_key:
        assert status == 401
    else:
        assert (status, code) == (500, "settings_error")
        assert "OPENAI_API_KEY" in json.loads(body)["error"]["message"]
