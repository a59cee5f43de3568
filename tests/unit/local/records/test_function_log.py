"""The terminal shows what matters of the functions' log; the files keep all of it, up to their size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from local.console import clock
from local.records import function_log
from local.records.function_log import FunctionLog

TIME = "2026-11-29T21:46:31Z"
ANSWER = {
    "timestamp": TIME,
    "level": "INFO",
    "message": "/v1/responses completed in 9 ms",
    "requestId": "r-1",
}
METRICS = {"_aws": {"CloudWatchMetrics": []}, "level": "ERROR", "relay.answers": [1.0]}
REFUSAL = {
    "timestamp": TIME,
    "level": "INFO",
    "message": "other refused: 404 unknown_route",
    "requestId": "r-2",
    "outcome": "refused",
    "status": 404,
    "code": "unknown_route",
    "route": "other",
}


class _Log:
    """A function's log, with what the terminal has shown of it."""

    def __init__(self, folder: Path, *, verbose: bool = False) -> None:
        self.shown: list[str] = []
        self._folder = folder
        self._log = FunctionLog(folder, lambda *lines: self.shown.extend(lines), verbose=verbose)
        self._print = self._log.printer("stream-chat")

    def take(self, *lines: str | dict[str, Any]) -> list[str]:
        for line in lines:
            self._print(f"[stream-chat 1] {line if isinstance(line, str) else json.dumps(line)}")
        self._log.close()
        return self.shown

    def file(self) -> list[str]:
        return (self._folder / "stream-chat.log").read_text("utf-8").splitlines()


def test_an_answers_record_and_metrics_are_kept_but_not_shown(tmp_path: Path) -> None:
    log = _Log(tmp_path)
    assert log.take(ANSWER, METRICS, {**ANSWER, "level": "DEBUG"}) == []
    assert [json.loads(line) for line in log.file()] == [ANSWER, METRICS, {**ANSWER, "level": "DEBUG"}]


def test_verbose_shows_every_record_with_its_fields_but_no_metrics(tmp_path: Path) -> None:
    log = _Log(tmp_path, verbose=True)
    assert log.take({**ANSWER, "caller": "web"}, METRICS) == [
        "[stream-chat 1] INFO /v1/responses completed in 9 ms  caller=web"
    ]


def test_a_refusal_is_one_line(tmp_path: Path) -> None:
    assert _Log(tmp_path).take(REFUSAL, {**REFUSAL, "caller": "web"}) == [
        f"[refused] {clock(TIME)}  404 unknown_route  other  r-2",
        f"[refused] {clock(TIME)}  404 unknown_route  other  caller=web  r-2",
    ]


def test_an_error_is_shown_with_its_trace(tmp_path: Path) -> None:
    error = {
        "timestamp": TIME,
        "level": "ERROR",
        "errorType": "KeyError",
        "errorMessage": "no",
        "requestId": "r",
    }
    trace = ['  File "app.py", line 1, in handle\n    fail()\n']
    assert _Log(tmp_path).take({**error, "stackTrace": trace}) == [
        "[stream-chat 1] ERROR KeyError: no",
        '[stream-chat 1]   File "app.py", line 1, in handle',
        "[stream-chat 1]     fail()",
    ]


def test_a_warning_is_shown_with_its_fields_and_without_a_whole_transcript(tmp_path: Path) -> None:
    log = _Log(tmp_path)
    undelivered = {"response": "the answer"}
    shown = log.take(
        {
            "level": "ERROR",
            "message": "undelivered transcript (timeout)",
            "undelivered_transcript": undelivered,
            "queue": "q" * 1000,
        }
    )
    assert shown == [f"[stream-chat 1] ERROR undelivered transcript (timeout)  queue={'q' * 200}"]
    assert json.loads(log.file()[0])["undelivered_transcript"] == undelivered


@pytest.mark.parametrize("line", ["Traceback (most recent call last):", "", "[1]", '{"a": 1}', "[" * 100_000])
def test_a_line_that_is_not_a_record_is_shown_as_it_is(tmp_path: Path, line: str) -> None:
    assert _Log(tmp_path).take(line) == [f"[stream-chat 1] {line}"]


def test_a_file_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(function_log, "MAX_FILE_BYTES", 2000)
    log = _Log(tmp_path)
    log.take(*[{**ANSWER, "requestId": f"r-{number}"} for number in range(100)])
    assert json.loads(log.file()[-1])["requestId"] == "r-99"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stream-chat.log", "stream-chat.log.1"]
    assert all(path.stat().st_size <= 2000 for path in tmp_path.iterdir())
