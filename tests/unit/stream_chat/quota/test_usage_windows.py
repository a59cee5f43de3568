"""The windows in which usage is counted: their bounds, keys, headers and messages."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quota.usage_windows import Span, Window, counter_id, dollars, duration, window_at


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOW = at("2026-11-25T09:30:43.250")
MINUTE, DAY = window_at("requests", "minute", NOW), window_at("tokens", "day", NOW)
USD_DAY, MONTH = window_at("usd", "day", NOW), window_at("usd", "month", NOW)
NAMES = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    [
        "web#requests#2026-11-25T09:30",
        "web#tokens#2026-11-25",
        "web#usd#2026-11",
        "x" * 3000,
        "é" * 3000,
        "sha256:" + "0" * 64,
        "\ud800",
        "\ufffd",
        "",
    ]
)


def test_a_request_is_counted_in_the_minute_of_its_arrival() -> None:
    assert Window("requests", "minute", "2026-11-25T09:30", int(at("2026-11-25T09:31:00"))) == MINUTE
    assert window_at("requests", "minute", at("2026-11-25T09:30:00")) == MINUTE
    assert window_at("requests", "minute", at("2026-11-25T09:30:59.999")) == MINUTE
    assert window_at("requests", "minute", at("2026-11-25T09:31:00")).name == "2026-11-25T09:31"


def test_tokens_are_counted_in_the_utc_day_of_the_requests_arrival() -> None:
    assert Window("tokens", "day", "2026-11-25", int(at("2026-11-26T00:00:00"))) == DAY
    assert window_at("tokens", "day", at("2026-11-25T00:00:00")) == DAY
    assert window_at("tokens", "day", at("2026-11-25T23:59:59.999")) == DAY
    assert window_at("tokens", "day", at("2026-11-26T00:00:00")).name == "2026-11-26"


@pytest.mark.parametrize(
    ("month", "begins_at", "ends_at"),
    [
        ("2026-01", "2026-01-01", "2026-02-01"),
        ("2026-02", "2026-02-01", "2026-03-01"),
        ("2028-02", "2028-02-01", "2028-03-01"),  # a leap year
        ("2100-02", "2100-02-01", "2100-03-01"),  # none
        ("2026-04", "2026-04-01", "2026-05-01"),
        ("2026-07", "2026-07-01", "2026-08-01"),
        ("2026-12", "2026-12-01", "2027-01-01"),
    ],
)
def test_a_month_lasts_to_the_first_of_the_next_one(month: str, begins_at: str, ends_at: str) -> None:
    month_of_usd = partial(window_at, "usd", "month")
    window = Window("usd", "month", month, int(at(ends_at)))
    assert month_of_usd(at(begins_at)) == month_of_usd(at(ends_at) - 0.001) == window
    assert month_of_usd(at(begins_at) - 0.001) != window
    assert month_of_usd(at(ends_at)) != window


@pytest.mark.parametrize("span", ["minute", "day", "month"])
@given(now=st.floats(0, 4e9))
def test_a_window_lasts_until_the_next_one_begins(span: Span, now: float) -> None:
    window = window_at("usd", span, now)
    assert window_at("usd", span, window.ends_at - 0.001) == window
    assert window_at("usd", span, window.ends_at) != window
    assert now < window.ends_at


def test_the_time_left_is_whole_seconds_after_which_the_window_is_over() -> None:
    assert MINUTE.seconds_left(NOW) == 17
    assert MINUTE.seconds_left(at("2026-11-25T09:30:00")) == 60
    assert MINUTE.seconds_left(at("2026-11-25T09:30:59.999")) == 1
    assert MINUTE.seconds_left(at("2026-11-25T09:31:00")) == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1, "1s"), (17, "17s"), (59, "59s"), (60, "1m0s"), (360, "6m0s"), (3600, "1h0m0s"), (46925, "13h2m5s")],
)
def test_durations_have_openais_format(seconds: int, text: str) -> None:
    assert duration(seconds) == text


def test_money_is_shown_in_dollars_without_an_exponent() -> None:
    amounts = (0, 1, 500_000_000, 1_000_000_000, 10**10, 10**18 + 1, -1_500_000_000)
    assert [dollars(nano) for nano in amounts] == [
        "0", "0.000000001", "0.5", "1", "10", "1000000000.000000001", "-1.5",
    ]  # fmt: skip


WINDOWS = (
    *(MINUTE, DAY, USD_DAY, MONTH),
    *(window_at("requests", "minute", NOW + 60), window_at("tokens", "day", NOW + 86400)),
)


@given(callers=st.tuples(NAMES, NAMES), windows=st.tuples(*[st.sampled_from(WINDOWS)] * 2))
def test_each_caller_and_window_has_its_own_counter(
    callers: tuple[str, str], windows: tuple[Window, Window]
) -> None:
    one, other = (counter_id(caller, window) for caller, window in zip(callers, windows, strict=True))
    assert (one == other) is (callers[0] == callers[1] and windows[0] == windows[1])


def test_a_name_that_looks_like_anothers_hash_or_key_shares_no_counter() -> None:
    long = "x" * 3000
    hashed = counter_id(long, MINUTE).removesuffix("#requests#2026-11-25T09:30")
    names = (long, hashed, "web", "web#requests#2026-11-25T09:30", "web#", "\ud800", "\udfff", "\ufffd")
    assert len({counter_id(name, window) for name in names for window in WINDOWS}) == len(names) * len(
        WINDOWS
    )


@given(caller=NAMES)
def test_every_name_yields_a_key_that_dynamodb_accepts(caller: str) -> None:
    key = counter_id(caller, MINUTE).encode()  # raises for malformed text
    assert 0 < len(key) <= 2048
    assert re.search(rb"#requests#2026-11-25T09:30$", key)
