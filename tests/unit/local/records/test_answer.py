"""`make answer ID=…`: all that was kept about one answer, and nothing about another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.records.answer import main

ID = "5f0c6a3e-8d1b-4a57-9e32-71c4b0d9f6aa"
ANSWER = {"level": "INFO", "message": "/v1/responses completed in 9 ms", "requestId": ID, "output_tokens": 7}
PUBLISHED = {
    "level": "INFO",
    "message": "transcript published",
    "transcript_id": ID,
    "sent_to": ["transcripts", "transcripts-audit"],
}


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("LOG", "ARCHIVE", "UNDELIVERED"):
        (tmp_path / name.lower()).mkdir()
        monkeypatch.setenv(f"{name}_FOLDER", str(tmp_path / name.lower()))
    return tmp_path


def write(folders: Path, name: str, *records: dict[str, Any] | str) -> None:
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    (folders / "log" / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def about(request_id: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv("ID", request_id)
    assert main() == 0
    return capsys.readouterr().out.splitlines()


def test_every_functions_records_and_the_transcripts_place_are_shown(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    other = {**ANSWER, "requestId": f"{ID}-1", "message": "another answer"}
    write(folders, "stream-chat.log", other, f'{{"cut {ID}', {**ANSWER, "_aws": {}})
    write(folders, "stream-chat.log.1", ANSWER)
    write(folders, "publish-transcript.log", PUBLISHED)
    file = folders / "archive" / "transcripts" / "date=2026-11-29" / f"{ID}.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("{}")
    assert about(ID, monkeypatch, capsys) == [
        "stream-chat: INFO /v1/responses completed in 9 ms",
        "  output_tokens           7",
        "publish-transcript: INFO transcript published",
        '  sent_to                 ["transcripts", "transcripts-audit"]',
        f"transcript: {file}",
    ]


def test_a_transcript_that_waits_for_its_delivery_is_found(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = folders / "undelivered" / f"{ID}.json"
    file.write_text("{}")
    assert about(ID, monkeypatch, capsys) == [f"transcript, not delivered yet: {file}"]


@pytest.mark.parametrize("request_id", ["", "../../etc/passwd", "a b", "*"])
def test_an_invalid_id_is_refused(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], request_id: str
) -> None:
    monkeypatch.setenv("ID", request_id)
    assert main() == 1
    assert capsys.readouterr().err.startswith("ID must be the x-relay-request-id of an answer")


def test_an_unknown_id_is_reported_as_unknown(
    folders: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ID", "unknown")
    assert main() == 1
    assert "nothing is known about unknown" in capsys.readouterr().out
