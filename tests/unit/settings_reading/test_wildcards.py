from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settings_reading.wildcards import matches_any


@pytest.mark.parametrize(
    ("text", "patterns", "matches"),
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
def test_a_star_matches_any_characters_and_every_other_character_itself(
    text: str, patterns: list[str], matches: bool
) -> None:
    assert matches_any(text, patterns) is matches


@given(st.text(), st.text())
def test_a_pattern_without_stars_matches_only_itself(text: str, other: str) -> None:
    assert matches_any(text, [re.sub(r"\*", "", text)]) is ("*" not in text)
    assert matches_any(other, [text.replace("*", "")]) is (other == text.replace("*", ""))


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_stars_match_like_the_equivalent_regular_expression(pattern: str, text: str) -> None:
    simple = ".*".join(map(re.escape, pattern.split("*")))
    assert matches_any(text, [pattern]) is (re.fullmatch(simple, text) is not None)


def test_several_stars_take_linear_time_over_a_long_text() -> None:
    text = "openai/" + "/gpt-" * 200_000  # backtracking over every position of every star would take minutes
    begun = time.process_time()
    assert not matches_any(text, ["openai/*/gpt-*-mini"])
    assert time.process_time() - begun < 5
