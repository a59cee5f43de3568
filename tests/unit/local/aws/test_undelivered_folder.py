"""Undelivered transcripts as files."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chat_stream.transcripts.pointer import TranscriptPointer
from local.aws.services import AwsServicesError
from local.aws.undelivered_folder import UndeliveredFolder
from tests.support.transcripts.sample_transcripts import sample_transcript

TRANSCRIPT = sample_transcript(1, 1)


def folder_in(path: Path, stored: bytes | None = None) -> tuple[UndeliveredFolder, list[str]]:
    lines: list[str] = []

    def fetch(bucket: str, key: str) -> bytes:
        if stored is None:
            raise AwsServicesError("moto's server does not answer")
        return stored

    return UndeliveredFolder(path / "undelivered", fetch, lines.append), lines


def files_in(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (path / "undelivered").iterdir()}


def test_a_whole_transcript_is_kept_under_its_id_and_one_line_names_the_file(tmp_path: Path) -> None:
    folder, lines = folder_in(tmp_path)
    folder.keep(TRANSCRIPT.to_json(), "request-1")
    file = tmp_path / "undelivered" / f"{TRANSCRIPT.id}.json"
    assert files_in(tmp_path) == {file.name: TRANSCRIPT.to_json()}
    assert lines == [f"[undelivered] {file}: the next run delivers it"]


def test_for_a_pointer_the_transcript_itself_is_kept(tmp_path: Path) -> None:
    body = TRANSCRIPT.to_json()
    folder, _ = folder_in(tmp_path, stored=body)
    folder.keep(TranscriptPointer.to(TRANSCRIPT, body, "bucket").to_json(), "request-1")
    assert files_in(tmp_path) == {f"{TRANSCRIPT.id}.json": body}


def test_the_pointer_is_kept_if_the_bucket_is_gone(tmp_path: Path) -> None:
    pointer = TranscriptPointer.to(TRANSCRIPT, TRANSCRIPT.to_json(), "bucket").to_json()
    folder, lines = folder_in(tmp_path)
    folder.keep(pointer, "request-1")
    assert files_in(tmp_path) == {"request-1.json": pointer}
    assert "moto's server does not answer" in lines[0]


@pytest.mark.parametrize(
    "name", ["../../evil", "/etc/passwd", "", ".", "..", ".hidden", "a b", "x" * 300, "a\0"]
)
def test_an_id_that_is_not_a_plain_name_leads_to_no_other_folder(tmp_path: Path, name: str) -> None:
    folder, _ = folder_in(tmp_path)
    folder.keep(json.dumps({**TRANSCRIPT.document, "id": name}).encode(), "request-1")
    assert len(files_in(tmp_path)) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["undelivered"]


@pytest.mark.parametrize("payload", [b"{}", b"no JSON", b"[" * 100_000])
def test_a_payload_that_is_not_a_transcript_is_kept_unchanged(tmp_path: Path, payload: bytes) -> None:
    folder, _ = folder_in(tmp_path)
    folder.keep(payload, "request-1")
    assert files_in(tmp_path)["request-1.json"] == payload


def test_a_transcript_that_cannot_be_written_to_a_file_is_printed(tmp_path: Path) -> None:
    (tmp_path / "undelivered").write_text("a file")
    folder, lines = folder_in(tmp_path)
    folder.keep(TRANSCRIPT.to_json(), "request-1")
    assert TRANSCRIPT.to_json().decode() in lines[-1]
    assert list(folder.payloads()) == []


def test_deliverable_files_are_handed_out_and_the_others_stay_and_are_named(tmp_path: Path) -> None:
    folder, lines = folder_in(tmp_path)
    folder.keep(TRANSCRIPT.to_json(), "request-1")
    folder.keep(b"no JSON", "request-2")
    file = tmp_path / "undelivered" / f"{TRANSCRIPT.id}.json"
    lines.clear()
    assert list(folder.payloads()) == [(file, TRANSCRIPT.to_json())]
    assert sorted(line.split()[2:4] for line in lines) == [["cannot", "be"], ["is", "being"]]
