from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcards import fits


@pytest.mark.parametrize(
    ("text", "patterns", "fit"),
    [
        ("gpt-6", ["gpt-6"], True),
        ("gpt-6-luna", ["gpt-6"], False),
        ("gpt-6-luna", ["gpt-6.1-sol", "gpt-6*"], True),
        ("a.b", ["a*b"], True),
        ("a.b", ["a.b"], True),
        ("axb", ["a.b"], False),
        ("two\nlines", ["two*"], True),
        ("a?[b]", ["a?[b]", "c"], True),
        ("axb", ["a?b", "a[x]b"], False),
        ("anything", [], False),
        ("", [], False),
        ("", ["*"], True),
    ],
)
def test_a_star_stands_for_any_characters_and_all_else_for_itself(
    text: str, patterns: list[str], fit: bool
) -> None:
    assert fits(text, patterns) is fit


@given(st.text(), st.text())
def test_a_text_fits_itself_and_only_itself(text: str, other: str) -> None:
    assert fits(text, [re.sub(r"\*", "", text)]) is ("*" not in text)
    assert fits(other, [text.replace("*", "")]) is (other == text.replace("*", ""))


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_stars_fit_as_a_search_through_all_places_would(pattern: str, text: str) -> None:
    simple = ".*".join(map(re.escape, pattern.split("*")))
    assert fits(text, [pattern]) is (re.fullmatch(simple, text) is not None)


def test_several_stars_take_linear_time_over_a_long_text() -> None:
    text = "openai/" + "/gpt-" * 200_000  # would be tried for minutes at all places of all stars
    begun = time.perf_counter()
    assert not fits(text, ["openai/*/gpt-*-mini"])
    assert time.perf_counter() - begun < 5
