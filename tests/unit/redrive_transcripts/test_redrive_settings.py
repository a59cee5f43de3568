"""What the redrive accepts of its environment."""

from __future__ import annotations

import pytest

from redrive_settings import RedriveSettings, queue_name
from settings_reading.readers import SettingsError

UNDELIVERED = "https://sqs.eu-central-1.amazonaws.com/123456789012/undelivered"
DEAD, SOURCE = UNDELIVERED.replace("undelivered", "dead"), UNDELIVERED.replace("undelivered", "source")
ENVIRONMENT = {
    "UNDELIVERED_QUEUE_URL": UNDELIVERED,
    "TRANSCRIPT_FUNCTION_NAME": "companion",
    "DEAD_LETTER_QUEUES": f'{{"{DEAD}": "{SOURCE}"}}',
}


def test_settings_are_the_queues_and_the_companion() -> None:
    assert RedriveSettings.of(ENVIRONMENT) == RedriveSettings(UNDELIVERED, "companion", {DEAD: SOURCE})


def test_without_consumers_queues_the_undelivered_can_still_be_redriven() -> None:
    without = {name: value for name, value in ENVIRONMENT.items() if name != "DEAD_LETTER_QUEUES"}
    assert RedriveSettings.of(without).dead_letter_queues == {}


def test_a_queue_is_called_by_the_last_part_of_its_url() -> None:
    assert queue_name(DEAD + ".fifo") == "dead.fifo"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("UNDELIVERED_QUEUE_URL", ""),
        ("UNDELIVERED_QUEUE_URL", "undelivered"),
        ("TRANSCRIPT_FUNCTION_NAME", ""),
        ("DEAD_LETTER_QUEUES", DEAD),
        ("DEAD_LETTER_QUEUES", f'["{DEAD}"]'),
        ("DEAD_LETTER_QUEUES", f'{{"{DEAD}": "source"}}'),
        ("DEAD_LETTER_QUEUES", f'{{"{DEAD}": "{SOURCE}", "{DEAD.replace("eu", "us")}": "{SOURCE}"}}'),
        ("DEAD_LETTER_QUEUES", f'{{"{UNDELIVERED}": "{SOURCE}"}}'),
    ],
)
def test_a_wrong_setting_is_named(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}"):
        RedriveSettings.of({**ENVIRONMENT, variable: value})
