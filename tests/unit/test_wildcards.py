from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wildcards import fits


@pytest.mark.parametrize(
    ("text", "patterns", "fit"),
    [
        ("gpt-5", ["gpt-5"], True),
        ("gpt-5-mini", ["gpt-5"], False),
        ("gpt-5-mini", ["o3", "gpt-5*"], True),
        ("a.b", ["a*b"], True),
        ("a.b", ["a.b"], True),
        ("axb", ["a.b"], False),
        ("two\nlines", ["two*"], True),
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
