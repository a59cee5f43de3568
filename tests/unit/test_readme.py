"""What the README shows is what the code takes."""

from __future__ import annotations

import json
import re

import pytest

from chat_stream.transcript_pointer import TranscriptPointer
from chat_stream.transcript_reader import read_transcript
from routes import parse_routes
from settings import SETTING_NAMES
from tests.support.sam import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")
JSON_BLOCKS = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
MESSAGE, POINTER, ROUTES = JSON_BLOCKS


def no_fetch(bucket: str, key: str) -> bytes:
    raise AssertionError("nothing to fetch")


def test_the_example_message_is_a_transcript() -> None:
    assert read_transcript({"body": MESSAGE}, no_fetch).outcome == "completed"


def test_the_example_pointer_is_one_to_the_example_message() -> None:
    assert TranscriptPointer.in_document(json.loads(POINTER)).id == json.loads(MESSAGE)["id"]


def test_the_example_routes_are_routes() -> None:
    names = [route.queue_url.rsplit("/", 1)[-1] for route in parse_routes(ROUTES)]
    assert names == ["transcripts", "failures", "web.fifo"]


@pytest.mark.parametrize("name", sorted(SETTING_NAMES))
def test_every_setting_is_in_the_table(name: str) -> None:
    assert f"| `{name}` |" in README


@pytest.mark.parametrize("anchor", sorted(set(re.findall(r"\]\(#([a-z-]+)\)", README))))
def test_every_link_within_the_page_leads_to_a_heading(anchor: str) -> None:
    headings = re.findall(r"^#+ (.*)$", README, re.MULTILINE)
    assert anchor in {re.sub(r"[^a-z -]", "", heading.lower()).replace(" ", "-") for heading in headings}
