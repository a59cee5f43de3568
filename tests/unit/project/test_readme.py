"""What the README shows is what the code takes."""

from __future__ import annotations

import json
import re

import pytest

from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.reader import read_transcript
from routes import parse_routes
from settings import SETTING_NAMES, Settings
from tests.support.readme import README

JSON_BLOCKS = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
LIMITS, MESSAGE, POINTER, ROUTES = JSON_BLOCKS


def no_fetch(bucket: str, key: str) -> bytes:
    raise AssertionError("nothing to fetch")


def test_the_example_limits_are_limits() -> None:
    environment = {
        "OPENAI_API_KEY": "k",
        "LIMITS_TABLE_NAME": "t",
        "TOKENS_PER_DAY": "9",
        "CALLER_LIMITS": LIMITS,
    }
    settings = Settings.from_environment(environment)
    assert settings.for_caller("batch").tokens_per_day is None
    trial = settings.for_caller("arn:aws:sts::123456789012:assumed-role/trial")
    assert (trial.tokens_per_day, trial.max_output_tokens) == (20000, 500)


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
