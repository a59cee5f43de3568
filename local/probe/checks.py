"""What the probe checks, in this order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from local.probe import access, answers, browsers, endurance
from local.probe.session import Session
from local.verdicts import Row, Verdict, not_tried

Check = Callable[[Session], Iterator[Row]]

CHECKS: tuple[Check, ...] = (
    access.version,
    access.callers,
    access.refusals,
    answers.formats,
    answers.pacing,
    answers.first_byte,
    answers.same_words,
    answers.caching,
    answers.compression,
    browsers.cross_origin,
    browsers.event_source,
    endurance.aborted,
    endurance.keep_alive,
    endurance.large_answer,
)


def probed(session: Session, checks: Sequence[Check] = CHECKS) -> Iterator[Row]:
    """The rows of the checks, each as soon as it is known. If there is no relay, nothing else is tried."""
    for row in access.reachable(session):
        yield row
        if row.verdict is Verdict.FAULT:
            yield not_tried("everything else", "there is no relay to ask")
            return
    for check in checks:
        yield from check(session)
