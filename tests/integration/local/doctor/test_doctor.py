"""`make doctor` finds each fault of an upstream, and none where there is none."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from local.doctor.checks import Examination, examined_rows
from local.verdicts import Row, Verdict, shown
from settings import Settings
from tests.support.project import PROJECT
from tests.support.upstreams.replay_upstream import DONE, Piece, ReplayUpstream, Reply, event, usage_event
from upstream.client import Upstream

LIST = "/v1/models"
MODEL = "gpt-6-luna"
TODAY = date(2026, 11, 29)
KEY = "sk-the-relays-own-key"
WORDS = [f" {number}" for number in range(1, 61)]
UNAUTHORIZED = Reply.json({"error": {"message": f"Incorrect API key provided: {KEY}"}}, 401)


def paced(*, usage: bool = True, pause_s: float = 0.002, before_s: float = 0.0) -> Reply:
    """Sixty words, each after a pause, or all together after the model has written them."""
    pieces: list[Piece] = [before_s] if before_s else []
    for word in WORDS:
        pieces += [event(word)] + ([pause_s] if pause_s else [])
    if not pause_s:
        pieces = [before_s, b"".join(piece for piece in pieces if isinstance(piece, bytes))]
    return Reply([*pieces, event(finish="stop"), *([usage_event()] if usage else []), DONE])


def response_events(pause_s: float = 0.002) -> Reply:
    """The same words in the Responses API."""
    done = {"id": "resp_1", "object": "response", "status": "completed", "model": MODEL, "output": []}
    usage = {"input_tokens": 1, "output_tokens": 60, "total_tokens": 61}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**done, "status": "in_progress"}}
    ]
    at = {"item_id": "m", "output_index": 0, "content_index": 0}
    events += [{"type": "response.output_text.delta", **at, "delta": word} for word in WORDS]
    events += [{"type": "response.completed", "response": {**done, "usage": usage}}]
    pieces: list[Piece] = []
    for document in events:
        pieces += [f"event: {document['type']}\ndata: {json.dumps(document)}\n\n".encode(), pause_s]
    return Reply(pieces)


def listed(*models: dict[str, Any]) -> Reply:
    return Reply.json({"object": "list", "data": [{"object": "model", **model} for model in models]})


GOOD_LIST = listed({"id": MODEL}, {"id": "gpt-6-nova", "shutdown_date": "2027-12-24"})
NO_RESPONSES = Reply.json({"detail": "Not Found"}, 404)


class ReplayedApi(ReplayUpstream):
    """An upstream with a model, whose two APIs answer by their own replies."""

    def __init__(self) -> None:
        super().__init__()
        self.models, self.chat, self.responses = GOOD_LIST, paced(), response_events()

    def serve(self) -> None:
        """Take the replies: the first question to the model is in chat completions."""
        self.answer(LIST, self.models)
        self.answer(MODEL, self.chat, self.responses)


@pytest.fixture
def api() -> Iterator[ReplayedApi]:
    upstream = ReplayedApi()
    with upstream:
        yield upstream


@pytest.fixture
def examine(api: ReplayedApi) -> Iterator[Callable[..., dict[str, Row]]]:
    """The rows by subject, with these settings."""
    made: list[Upstream] = []

    def rows(**values: Any) -> dict[str, Row]:
        api.serve()
        settings = Settings(openai_base_url=api.url, openai_api_key=KEY, upstream_retries=0, **values)
        made.append(Upstream(settings))
        return {row.subject: row for row in examined_rows(Examination(made[-1], today=TODAY))}

    yield rows
    for upstream in made:
        upstream.close()


def faults(rows: dict[str, Row]) -> set[str]:
    return {subject for subject, row in rows.items() if row.verdict is Verdict.FAULT}


def test_a_good_upstream_has_no_fault(examine: Callable[..., dict[str, Row]]) -> None:
    rows = examine(allowed_models=(MODEL, "gpt-6-*"))
    assert {row.verdict for row in rows.values()} == {Verdict.OK}, "\n".join(map(shown, rows.values()))
    assert rows["shutdown of gpt-6-nova"].found == "2027-12-24, in 390 days"
    assert rows["model gpt-6-*"].found == "2 are listed"


def test_the_function_itself_is_asked_for(examine: Callable[..., dict[str, Row]], api: ReplayedApi) -> None:
    examine(openai_key_header="api-key", openai_api_version="2024-10-21", max_output_tokens=700)
    chat = api.exchanges(MODEL)[0]
    assert chat.target == "/v1/chat/completions?api-version=2024-10-21"
    assert (chat.headers["api-key"], "authorization" in chat.headers) == (KEY, False)
    assert (chat.body["max_completion_tokens"], chat.body["stream_options"]) == (700, {"include_usage": True})


def test_a_wrong_key_is_the_only_fault(examine: Callable[..., dict[str, Row]], api: ReplayedApi) -> None:
    api.models = api.chat = api.responses = UNAUTHORIZED
    rows = examine()
    (fault,) = faults(rows)
    assert fault.startswith("key for 127.0.0.1")
    assert "OPENAI_API_KEY" in rows[fault].advice
    assert KEY not in "\n".join(map(shown, rows.values()))


def test_a_missing_model_is_named_and_others_are_offered(
    examine: Callable[..., dict[str, Row]], api: ReplayedApi
) -> None:
    api.models = listed({"id": "gpt-6-nova"})
    api.chat = api.responses = Reply.json({"error": {"message": "no such model"}}, 404)
    rows = examine(allowed_models=(MODEL, "gpt-6-nova", "o9-*"))
    assert {f"model {MODEL}", "model o9-*", "chat completions stream"} <= faults(rows)
    assert "gpt-6-nova" in rows[f"model {MODEL}"].advice
    assert rows["model gpt-6-nova"].verdict is Verdict.OK


def test_an_alias_that_answers_needs_no_entry_in_the_list(
    examine: Callable[..., dict[str, Row]], api: ReplayedApi
) -> None:
    api.models = listed({"id": "gpt-6-luna-2026-01-01"})
    assert faults(examine()) == set()


@pytest.mark.parametrize("days", [-3, 0, 30])
@pytest.mark.parametrize("form", ["iso", "epoch"])
def test_a_near_or_past_shutdown_is_a_fault(
    days: int, form: str, examine: Callable[..., dict[str, Row]], api: ReplayedApi
) -> None:
    day = TODAY + timedelta(days=days)
    epoch = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
    api.models = listed({"id": MODEL, "shutdown_date": day.isoformat() if form == "iso" else epoch})
    rows = examine()
    assert faults(rows) == {f"shutdown of {MODEL}"}
    assert day.isoformat() in rows[f"shutdown of {MODEL}"].found


def test_missing_usage_is_a_fault(examine: Callable[..., dict[str, Row]], api: ReplayedApi) -> None:
    api.chat = paced(usage=False)
    assert faults(examine()) == {"usage"}


def test_refused_stream_options_are_named_with_the_setting_that_helps(
    examine: Callable[..., dict[str, Row]], api: ReplayedApi
) -> None:
    api.chat = Reply.json({"error": {"message": "Unknown field: stream_options"}}, 400)
    rows = examine()
    assert "INCLUDE_USAGE=false" in rows["usage"].advice
    assert rows["usage"].verdict is Verdict.FAULT


def test_no_responses_api_is_a_fault_with_the_status(
    examine: Callable[..., dict[str, Row]], api: ReplayedApi
) -> None:
    api.responses = NO_RESPONSES
    rows = examine()
    assert faults(rows) == {"responses stream"}
    assert "404" in rows["responses stream"].found
    assert "RESPONSES=0" in rows["responses stream"].advice


def test_a_buffered_stream_is_a_fault(examine: Callable[..., dict[str, Row]], api: ReplayedApi) -> None:
    api.chat = paced(pause_s=0.0, before_s=0.8)
    rows = examine()
    assert faults(rows) == {"chat completions stream"}
    assert "all at once" in rows["chat completions stream"].found


def test_a_document_instead_of_events_is_a_fault(
    examine: Callable[..., dict[str, Row]], api: ReplayedApi
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "x"}, "finish_reason": "stop"}
    api.chat = Reply.json({"id": "1", "object": "chat.completion", "choices": [choice]})
    assert "one document" in examine()["chat completions stream"].found


@pytest.mark.parametrize("ends", ["clean", "cut"])
def test_a_stream_that_is_cut_is_a_fault(
    ends: Any, examine: Callable[..., dict[str, Row]], api: ReplayedApi
) -> None:
    api.chat = Reply([event(word) for word in WORDS], ends=ends)
    rows = examine()
    assert faults(rows) == {"chat completions stream"}
    assert "upstream_interrupted" in rows["chat completions stream"].found


def test_an_upstream_without_a_list_is_no_fault(
    examine: Callable[..., dict[str, Row]], api: ReplayedApi
) -> None:
    api.models = Reply.json({"detail": "Not Found"}, 404)
    rows = examine()
    assert faults(rows) == set()
    assert rows["models"].verdict is Verdict.NOT_TRIED


def run(**environ: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "shared:functions/stream_chat", **environ}
    command = [sys.executable, "-m", "local.doctor"]
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_the_command_fails_only_for_a_fault_and_shows_no_key(api: ReplayedApi) -> None:
    api.serve()
    good = run(OPENAI_BASE_URL=api.url, OPENAI_API_KEY=KEY)
    assert (good.returncode, good.stderr) == (0, ""), good.stdout
    api.chat = UNAUTHORIZED
    api.answer(MODEL, api.chat)
    bad = run(OPENAI_BASE_URL=api.url, OPENAI_API_KEY=KEY)
    assert (bad.returncode, bad.stderr) == (1, "")
    assert KEY not in good.stdout + bad.stdout


def test_an_unreachable_upstream_is_a_fault() -> None:
    done = run(OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert "OPENAI_BASE_URL" in done.stdout


@pytest.mark.parametrize("environ", [{}, {"OPENAI_BASE_URL": "ftp://x"}])
def test_settings_that_cannot_be_used_are_named(environ: dict[str, str]) -> None:
    done = run(**environ)
    assert done.returncode == 2
    assert "OPENAI_BASE_URL" in done.stderr
