"""Every recorded stream is in the index: the tests run no other."""

from __future__ import annotations

from tests.support.conformance_cases import stream_cases
from tests.support.project import PROJECT

FOLDER = PROJECT / "tests/conformance/openai_streams"


def test_the_folder_has_the_streams_of_the_index_and_no_others() -> None:
    listed = {f"{case.name}{suffix}" for case in stream_cases() for suffix in (".sse", ".expected.json")}
    assert {path.name for path in FOLDER.iterdir()} == listed | {"INDEX.json"}
    assert all(case.expected["name"] == case.name for case in stream_cases())
