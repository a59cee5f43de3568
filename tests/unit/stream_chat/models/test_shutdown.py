"""The shutdown dates in an upstream's list, and the warnings of those that are near."""

from __future__ import annotations

import logging
from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from chat_stream.transcripts.transcript import Transcript
from errors import UpstreamError
from models.shutdown import is_soon, shutdown_date, shutdown_dates
from models.shutdown_warnings import DAY_S, LIMIT_S, ShutdownWarnings

TODAY = date(2026, 11, 29)
DAY = date(2026, 12, 24)
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC).timestamp()
EPOCH_S = int(datetime(2026, 12, 24, tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    "value",
    [EPOCH_S, float(EPOCH_S), EPOCH_S * 1000, str(EPOCH_S), "2026-12-24", "2026-12-24T00:00:00Z",
     " 2026-12-24T23:30:00+00:00", "2026-12-25T01:00:00+02:00"],
)  # fmt: skip
def test_a_date_is_read_in_each_form(value: object) -> None:
    assert shutdown_date({"id": "m", "shutdown_date": value}) == DAY
    assert shutdown_date({"id": "m", "deprecation": {"inference": value}}) == DAY


@pytest.mark.parametrize(
    "value", [None, "", "soon", 0, -1, True, 10**30, float("inf"), float("nan"), [EPOCH_S], {}, "9" * 400]
)
def test_a_value_that_is_not_a_date_is_none(value: object) -> None:
    assert shutdown_date({"id": "m", "shutdown_date": value}) is None
    assert shutdown_date({"id": "m", "deprecation": value}) is None


def test_only_models_with_a_date_are_kept_and_by_the_name_that_callers_use() -> None:
    models = [{"id": "models/gemini", "shutdown_date": "2026-12-24"}, {"id": "gpt-6"}]
    assert shutdown_dates(models) == {"gemini": DAY}


def test_thirty_days_are_soon_and_so_is_the_past() -> None:
    assert is_soon(TODAY + timedelta(days=30), TODAY)
    assert is_soon(TODAY - timedelta(days=1), TODAY)
    assert not is_soon(TODAY + timedelta(days=31), TODAY)


class Upstream:
    """A list of models and a clock for the warnings of one environment."""

    def __init__(self, *models: dict[str, Any], error: UpstreamError | None = None) -> None:
        self.models: list[dict[str, Any]] | None = list(models)
        self.error = error
        self.limits_s: list[float] = []
        self.now = NOW
        self.counted: list[str] = []
        self.warnings = ShutdownWarnings(self.read, lambda: self.now, self.counted.append)

    def read(self, limit_s: float) -> list[dict[str, Any]] | None:
        self.limits_s.append(limit_s)
        if self.error:
            raise self.error
        return self.models

    def answer(
        self, model: str = "gpt-6", answered: str = "", outcome: str = "completed", remaining_s: float = 100
    ) -> None:
        document = {"request": {"model": model}, "response": {"model": answered or model}}
        transcript = SimpleNamespace(id="r-1", document=document, outcome=outcome)
        self.warnings.after_answer(cast(Transcript, transcript), remaining_s)


ENDING = {"id": "gpt-6", "shutdown_date": "2026-12-24"}


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_model_in_use_is_warned_of_once_a_day(caplog: pytest.LogCaptureFixture) -> None:
    upstream = Upstream(ENDING)
    for _ in range(3):
        upstream.answer()
    assert messages(caplog) == ["the model gpt-6 will be shut down on 2026-12-24"]
    assert caplog.records[0].__dict__["days_left"] == 25
    upstream.now += DAY_S
    upstream.answer()
    assert len(messages(caplog)) == 2
    assert upstream.counted == ["r-1", "r-1"]
    assert upstream.limits_s == [LIMIT_S, LIMIT_S]


def test_an_alias_is_warned_of_by_the_model_that_answers(caplog: pytest.LogCaptureFixture) -> None:
    Upstream({**ENDING, "id": "gpt-6-2026-01-01"}).answer("gpt-6", "gpt-6-2026-01-01")
    assert messages(caplog) == ["the model gpt-6-2026-01-01 will be shut down on 2026-12-24"]


def test_each_model_in_use_has_its_warning_without_another_question(caplog: pytest.LogCaptureFixture) -> None:
    upstream = Upstream(ENDING, {"id": "gpt-5", "shutdown_date": "2026-11-01"})
    upstream.answer("gpt-6")
    upstream.answer("gpt-5")
    upstream.answer("gpt-7")
    assert messages(caplog)[1] == "the model gpt-5 was to be shut down on 2026-11-01"
    assert len(messages(caplog)) == 2
    assert len(upstream.limits_s) == 1


def test_a_later_shutdown_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    Upstream({"id": "gpt-6", "shutdown_date": "2027-12-24"}).answer()
    assert messages(caplog) == []


def test_an_upstream_without_a_list_is_asked_once_a_day_and_quietly(caplog: pytest.LogCaptureFixture) -> None:
    upstream = Upstream()
    upstream.models = None
    upstream.answer()
    upstream.answer()
    assert messages(caplog) == []
    assert len(upstream.limits_s) == 1


def test_an_outage_is_quiet_and_keeps_the_dates(caplog: pytest.LogCaptureFixture) -> None:
    upstream = Upstream(ENDING)
    upstream.answer()
    upstream.error = UpstreamError(502, "upstream_unreachable", "down")
    upstream.now += DAY_S
    upstream.answer()
    upstream.answer()
    assert len(messages(caplog)) == 2  # the second day's warning, by the dates of the first
    assert len(upstream.limits_s) == 2


@pytest.mark.parametrize("outcome", ["failed", "truncated"])
def test_nothing_is_asked_after_a_failed_answer(outcome: str) -> None:
    upstream = Upstream(ENDING)
    upstream.answer(outcome=outcome)
    assert upstream.limits_s == []


def test_nothing_is_asked_shortly_before_the_deadline() -> None:
    upstream = Upstream(ENDING)
    upstream.answer(remaining_s=5)
    assert upstream.limits_s == []
    upstream.answer()
    assert len(upstream.limits_s) == 1


def test_a_name_that_a_caller_made_up_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    Upstream({**ENDING, "id": "secret words"}).answer("secret words")
    assert messages(caplog) == []
