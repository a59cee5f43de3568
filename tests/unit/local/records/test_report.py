"""`make report`: the tables and the picture show what the archived transcripts say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from chat_stream.events import (
    AnswerFailed,
    AnswerStarted,
    ChatEvent,
    ChoiceFinished,
    TextDelta,
    UsageReported,
)
from local.records import report
from tests.support.transcripts.transcript_strategies import built

USAGE = UsageReported({"prompt_tokens": 12, "completion_tokens": 97})
PROMPT = "the plan that nobody may read"


def answered(day: str, model: str = "gpt-6-luna", caller: str = "web", first_ms: int = 200) -> dict[str, Any]:
    """A transcript of an answer that takes a second after its first token."""
    request = {"model": model, "messages": [{"role": "user", "content": PROMPT}], "parameters": {}}
    events: list[ChatEvent] = [
        AnswerStarted("i", model),
        TextDelta(0, PROMPT),
        USAGE,
        ChoiceFinished(0, "stop"),
    ]
    document = built(events, caller=caller, request=request).document
    document["timings"] |= {
        "started_at": f"{day}T12:00:00.000Z",
        "time_to_first_token_ms": first_ms,
        "duration_ms": first_ms + 1000,
    }
    return document


def failed(day: str) -> dict[str, Any]:
    document = built([AnswerFailed(PROMPT, "upstream_error", None, None, None)], caller="web").document
    document["timings"] |= {"started_at": f"{day}T12:00:00.000Z"}
    return document


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ARCHIVE_FOLDER", str(tmp_path))
    monkeypatch.setattr(report, "REPORT", tmp_path / "made" / "report.html")
    return tmp_path


def keep(archive: Path, *documents: dict[str, Any] | str) -> None:
    for number, document in enumerate(documents):
        started_at = document["timings"]["started_at"] if isinstance(document, dict) else "2026-11-29"
        file = archive / "transcripts" / f"date={started_at[:10]}" / f"{number}.jsonl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text((document if isinstance(document, str) else json.dumps(document)) + "\n")


def rows(output: str) -> list[list[str]]:
    """The cells of the tables."""
    return [
        line.split("  ") for line in output.splitlines() if line.startswith(("2026", "gpt", "web", "batch"))
    ]


def test_the_tables_have_the_figures_of_each_day_model_and_caller(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(
        archive,
        answered("2026-11-28"),
        answered("2026-11-29", first_ms=400),
        answered("2026-11-29", first_ms=600, caller="batch"),
        failed("2026-11-29"),
    )
    assert report.main() == 0
    found = {
        row[0]: [cell.strip() for cell in row if cell.strip()][1:] for row in rows(capsys.readouterr().out)
    }
    assert found == {
        "2026-11-28": ["1", "100.0%", "12", "97", "0.20 s", "0.20 s", "96"],
        "2026-11-29": ["3", "66.7%", "24", "194", "0.50 s", "0.59 s", "96"],
        "gpt-6-luna": ["3", "100.0%", "36", "291", "0.40 s", "0.58 s", "96"],
        "web": ["3", "66.7%", "24", "194", "0.30 s", "0.39 s", "96"],
        "batch": ["1", "100.0%", "12", "97", "0.60 s", "0.60 s", "96"],
    }


def test_the_picture_shows_every_outcome_and_model_and_needs_no_network(archive: Path) -> None:
    keep(archive, answered("2026-11-28"), answered("2026-11-29", model="gpt-6.1-mini"), failed("2026-11-29"))
    assert report.main() == 0
    page = report.REPORT.read_text(encoding="utf-8")
    for name in (*report.OUTCOMES, "gpt-6-luna", "gpt-6.1-mini"):
        assert f'"name":"{name}"' in page
    assert "<script src=" not in page


def test_the_report_shows_nothing_of_a_conversation(
    archive: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(archive, answered("2026-11-28", model=PROMPT), failed("2026-11-28"), f'{{"id": "{PROMPT}')
    assert report.main() == 0
    printed = capsys.readouterr()
    assert "(unknown)" in printed.out
    assert "2.jsonl is left out: " in printed.err
    assert PROMPT not in printed.out + printed.err + report.REPORT.read_text(encoding="utf-8")


def test_an_empty_archive_is_reported(archive: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main() == 1
    assert capsys.readouterr().err == f"there is no transcript in {archive}\n"
