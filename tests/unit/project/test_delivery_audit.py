"""The fault run's audit detects each way in which the delivery of a transcript can fail."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from chat_stream.transcripts.transcript import Transcript
from tests.support.aws.loopback_aws import Kills
from tests.support.project import PROJECT
from tests.support.transcripts.delivery_audit import Sighting, audit
from tests.support.transcripts.fault_run import FaultRunReport

EXPECTED = {"a": "1", "b": "2", "c": "3"}
A, B, C = (Sighting(id, digest) for id, digest in EXPECTED.items())  # noqa: A001 - the name of the field


def differences(*seen: Sighting, **elsewhere: Any) -> dict[str, object]:
    """The fields that differ from the audit of a queue that has every transcript once."""
    account = dataclasses.asdict(audit("q", EXPECTED, seen, **elsewhere))
    good = dataclasses.asdict(audit("q", EXPECTED, [A, B, C]))
    return {name: value for name, value in account.items() if value != good[name]}


def test_a_queue_with_every_transcript_once_has_no_faults() -> None:
    account = audit("q", EXPECTED, [C, A, B])
    assert account.faults() == []
    assert (account.expected, account.delivered, account.duplicates) == (3, 3, 0)


@pytest.mark.parametrize(
    ("seen", "elsewhere", "expected", "faults"),
    [
        ([A], {}, {"delivered": 1, "lost": ("b", "c")}, ["2 lost, such as b"]),
        ([A, B, C, C, C, B], {}, {"duplicates": 3}, []),
        ([A, B, C, Sighting("x", "1")], {}, {"unexpected": ("x",)}, ["1 unexpected, such as x"]),
        (
            [A, B, Sighting("c", "0")],
            {},
            {"delivered": 2, "altered": ("c",), "lost": ("c",)},
            ["1 lost, such as c", "1 altered, such as c"],
        ),
        ([A, B, C, Sighting("c", "0")], {}, {"altered": ("c",)}, ["1 altered, such as c"]),
        ([A, B], {"dead_letters": [C, C]}, {"delivered": 2, "in_dead_letters": 1}, []),
        ([A, B], {"logged": [C]}, {"delivered": 2, "in_log": 1}, []),
        ([A, B], {"dead_letters": [C], "logged": [C]}, {"delivered": 2, "in_dead_letters": 1}, []),
        (
            [A, B],
            {"dead_letters": [Sighting("c", "0")]},
            {"delivered": 2, "lost": ("c",)},
            ["1 lost, such as c"],
        ),
        ([A, B, C], {"dead_letters": [C], "logged": [A]}, {}, []),
    ],
)
def test_every_deviation_is_reported(
    seen: list[Sighting], elsewhere: dict[str, Any], expected: dict[str, object], faults: list[str]
) -> None:
    assert differences(*seen, **elsewhere) == expected
    assert audit("q", EXPECTED, seen, **elsewhere).faults() == faults


def test_the_smallest_change_of_a_transcript_makes_a_different_sighting() -> None:
    path = PROJECT / "events" / "transcript.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    changed = {**document, "timings": {**document["timings"], "delta_count": 0}}
    assert Sighting.of(Transcript(document)) == Sighting.of(Transcript(json.loads(json.dumps(document))))
    assert Sighting.of(Transcript(document)) != Sighting.of(Transcript(changed))


def test_a_run_fails_for_what_the_redrive_leaves_and_for_missing_alarms() -> None:
    left = [audit("q", EXPECTED, [A, B], dead_letters=[C])]
    gone = [audit("q", EXPECTED, [A, B, C])]
    run = {"seed": 1, "transcripts": 3, "calls": {}, "kills": Kills(), "duration_s": 1.0}

    def faults(**outcome: Any) -> list[str]:
        return FaultRunReport(**{**run, "logged": 0, "alarms": 0, **outcome}).faults()

    assert faults(after_faults=left, after_redrive=gone) == []
    assert faults(after_faults=left, after_redrive=left) == ["q: 1 still missing after the redrive"]
    assert faults(after_faults=gone, after_redrive=gone, logged=2, alarms=1) == [
        "2 transcripts in the log, but 1 counted as undelivered"
    ]
