"""Where the archive's objects lie as files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.aws.archive_folder import path_within

FOLDER = Path(__file__).parent / "no-such-folder"


def test_an_object_lies_under_its_key() -> None:
    key = "transcripts/date=2026-11-22/id.jsonl"
    assert path_within(FOLDER, key) == FOLDER / "transcripts" / "date=2026-11-22" / "id.jsonl"


@pytest.mark.parametrize(
    "key", ["", ".", "..", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a/."]
)
def test_a_key_that_is_no_plain_path_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="no path within the folder"):
        path_within(FOLDER, key)


@given(st.text(st.sampled_from("./\\a\0")) | st.text())
def test_whatever_the_key_says_it_stays_within_the_folder(key: str) -> None:
    with contextlib.suppress(ValueError):  # a NUL raises it too
        path = path_within(FOLDER, key)
        assert FOLDER in path.parents
        assert ".." not in path.parts


def test_a_link_does_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="no path within the folder"):
        path_within(tmp_path / "folder", "link/x")
