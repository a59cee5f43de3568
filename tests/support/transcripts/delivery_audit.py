"""Accounts for every transcript of a run: the queues that have it, and those that should have it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from chat_stream.transcripts.transcript import Transcript


class Sighting(NamedTuple):
    """A transcript that was found somewhere: its id, and the SHA-256 of its JSON."""

    id: str
    sha256: str

    @classmethod
    def of(cls, transcript: Transcript) -> Sighting:
        """The sighting of this transcript."""
        return cls(transcript.id, hashlib.sha256(transcript.to_json()).hexdigest())


@dataclass(frozen=True, slots=True)
class Audit:
    """The account of one queue. The first five fields count transcripts, the last three list their ids.

    Attributes:
        delivered: expected transcripts that the queue has at least once, unaltered.
        duplicates: further messages with a delivered transcript.
        in_dead_letters: expected, not delivered, but among the dead letters.
        in_log: expected, neither delivered nor a dead letter, but in the log.
        altered: in the queue, but not as sent.
        unexpected: in the queue, but never sent or not for this queue.
        lost: nowhere to be found.
    """

    place: str
    expected: int
    delivered: int
    duplicates: int
    in_dead_letters: int
    in_log: int
    altered: tuple[str, ...]
    unexpected: tuple[str, ...]
    lost: tuple[str, ...]

    def faults(self) -> list[str]:
        """Messages about transcripts that are lost, altered or unexpected."""
        return [
            f"{len(ids)} {fault}, such as {ids[0]}"
            for fault, ids in (
                ("lost", self.lost),
                ("altered", self.altered),
                ("unexpected", self.unexpected),
            )
            if ids
        ]


def audit(
    place: str,
    expected: Mapping[str, str],
    seen: Iterable[Sighting],
    dead_letters: Iterable[Sighting] = (),
    logged: Iterable[Sighting] = (),
) -> Audit:
    """Compare the transcripts in a queue with those expected there.

    Args:
        expected: id → SHA-256 of the transcripts that were sent and are for this queue.
        seen: every message of the queue; further messages with the same transcript are duplicates.
        dead_letters: with `logged`, account for transcripts that the queue lacks, if they are unaltered.
    """
    times = Counter(seen)
    delivered = {sighting.id for sighting in times if expected.get(sighting.id) == sighting.sha256}
    missing = expected.keys() - delivered
    in_dead_letters = missing & _unaltered(dead_letters, expected)
    in_log = (missing - in_dead_letters) & _unaltered(logged, expected)
    return Audit(
        place=place,
        expected=len(expected),
        delivered=len(delivered),
        duplicates=sum(count - 1 for sighting, count in times.items() if sighting.id in delivered),
        in_dead_letters=len(in_dead_letters),
        in_log=len(in_log),
        altered=_ids(s for s in times if s.id in expected and s.sha256 != expected[s.id]),
        unexpected=_ids(s for s in times if s.id not in expected),
        lost=tuple(sorted(missing - in_dead_letters - in_log)),
    )


def audit_table(audits: Sequence[Audit]) -> str:
    """The accounts as a Markdown table."""
    rows = [
        (
            audit.place,
            audit.expected,
            audit.delivered,
            _with_share(audit.duplicates, audit.delivered),
            audit.in_dead_letters,
            audit.in_log,
            len(audit.altered),
            len(audit.unexpected),
            len(audit.lost),
        )
        for audit in audits
    ]
    heads = ("queue", "expected", "delivered", "duplicates", "in dead letters", "in the log")
    return table((*heads, "altered", "unexpected", "lost"), rows)


def calls_table(calls: Mapping[str, Mapping[str, int]], kinds: Sequence[str]) -> str:
    """The outcomes of the calls as a Markdown table: a row for each service, a column for each of `kinds`."""
    total: Counter[str] = Counter()
    rows: list[tuple[object, ...]] = []
    for service in sorted(calls):
        total.update(calls[service])
        rows.append((service, sum(calls[service].values()), *(calls[service].get(kind, 0) for kind in kinds)))
    everything = total.total()
    rows.append(("all", everything, *(_with_share(total[kind], everything) for kind in kinds)))
    return table(("calls", "made", *kinds), rows)


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table with aligned columns."""
    lines = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    lines.insert(1, ["-" * width if not at else "-" * (width - 1) + ":" for at, width in enumerate(widths)])
    return "\n".join(f"| {' | '.join(_padded(line, widths))} |" for line in lines)


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    first, *numbers = zip(line, widths, strict=True)
    return [first[0].ljust(first[1]), *(text.rjust(width) for text, width in numbers)]


def _unaltered(sightings: Iterable[Sighting], expected: Mapping[str, str]) -> set[str]:
    return {sighting.id for sighting in sightings if expected.get(sighting.id) == sighting.sha256}


def _ids(sightings: Iterable[Sighting]) -> tuple[str, ...]:
    return tuple(sorted({sighting.id for sighting in sightings}))


def _with_share(part: int, whole: int) -> str:
    return f"{part} ({part / whole:.1%})" if whole else str(part)
