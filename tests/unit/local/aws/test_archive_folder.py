"""Where the objects of the archive are stored as files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.aws.archive_folder import path_within

FOLDER = Path(__file__).parent / "no-such-folder"


def test_the_path_of_an_object_is_its_key() -> None:
    key = "transcripts/date=2026-11-22/id.jsonl"
    assert path_within(FOLDER, key) == FOLDER / "transcripts" / "date=2026-11-22" / "id.jsonl"


@pytest.mark.parametrize(
    "key", ["", ".", "..", "/etc/passwd", "../x", "a/../../x", "a//b", "a/", "./a", "a/."]
)
def test_a_key_that_is_not_a_plain_path_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="not a path within the folder"):
        path_within(FOLDER, key)


@given(st.text(st.sampled_from("./\\a\0")) | st.text())
def test_no_key_leads_out_of_the_folder(key: str) -> None:
    with contextlib.suppress(ValueError):  # which a NUL raises as well
        path = path_within(FOLDER, key)
        assert FOLDER in path.parents
        assert ".." not in path.parts


def test_no_symbolic_link_leads_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path)
    with pytest.raises(ValueError, match="not a path within the folder"):
        path_within(tmp_path / "folder", "link/x")
