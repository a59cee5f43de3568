"""The redrive's settings, read from environment variables."""

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


def test_the_settings_are_the_queues_and_the_companion() -> None:
    assert RedriveSettings.of(ENVIRONMENT) == RedriveSettings(UNDELIVERED, "companion", {DEAD: SOURCE})


def test_dead_letter_queues_of_consumers_are_optional() -> None:
    without = {name: value for name, value in ENVIRONMENT.items() if name != "DEAD_LETTER_QUEUES"}
    assert RedriveSettings.of(without).dead_letter_queues == {}


def test_the_name_of_a_queue_is_the_last_part_of_its_url() -> None:
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
def test_an_invalid_setting_is_an_error_that_names_the_variable(variable: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{variable}"):
        RedriveSettings.of({**ENVIRONMENT, variable: value})
