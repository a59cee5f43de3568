"""The verdicts of `make probe` and `make doctor`, and the table that shows them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

SUBJECT_COLUMNS = 31
FOUND_COLUMNS = 76
HIDDEN = "…"  # stands in for a secret
MIN_SECRET_CHARACTERS = 4  # hiding shorter ones would make the table unreadable and hide nothing


class Verdict(StrEnum):
    """What was found: only a FAULT makes the command fail."""

    OK = "ok"
    FAULT = "FAULT"
    UNCLEAR = "unclear"  # it was tried, and the result proves nothing
    NOT_TRIED = "not tried"


class Row(NamedTuple):
    """One line of the table.

    Args:
        subject: what was looked at.
        found: what was found, in numbers where there are any; may have several lines.
        advice: what to do about it; only for verdicts other than OK.
    """

    subject: str
    verdict: Verdict
    found: str
    advice: str = ""


def ok(subject: str, found: str) -> Row:
    """A row for something that is as it should be."""
    return Row(subject, Verdict.OK, found)


def fault(subject: str, found: str, advice: str) -> Row:
    """A row for a fault and what to do about it."""
    return Row(subject, Verdict.FAULT, found, advice)


def unclear(subject: str, found: str, advice: str = "") -> Row:
    """A row for a result that proves nothing."""
    return Row(subject, Verdict.UNCLEAR, found, advice)


def not_tried(subject: str, reason: str) -> Row:
    """A row for something that was not tried, with the reason."""
    return Row(subject, Verdict.NOT_TRIED, reason)


def exit_status(rows: Iterable[Row]) -> int:
    """The exit status of the command: 1 if there is any fault, else 0."""
    return int(any(row.verdict is Verdict.FAULT for row in rows))


def summary(rows: Iterable[Row]) -> str:
    """How many rows have each verdict, in one line."""
    verdicts = [row.verdict for row in rows]
    return ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict if verdict in verdicts)


def print_rows(rows: Iterable[Row], secrets: Iterable[str]) -> int:
    """Print each row as soon as it is known, and then the summary. Returns the exit status."""
    found = []
    for row in rows:
        found.append(row)
        print(shown(row, secrets), flush=True)
    print(f"\n{summary(found)}")
    return exit_status(found)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with every secret hidden."""
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= MIN_SECRET_CHARACTERS:
            text = text.replace(secret, HIDDEN)
    return text


def shown(row: Row, secrets: Iterable[str] = ()) -> str:
    """The row as lines of text: columns for the subject and the verdict, the rest beside them.

    Args:
        secrets: never shown, even where a server has repeated them.
    """
    found = without_secrets(row.found, secrets)  # before it is cut into lines
    first, *more = [piece for line in found.splitlines() for piece in _wrapped(line)] or [""]
    indent = " " * (SUBJECT_COLUMNS + 13)
    lines = [f"{row.subject:<{SUBJECT_COLUMNS}}  {row.verdict:<9}  {first}"]
    lines += [f"{indent}{line}" for line in more]
    arrows = ("-> " if number == 0 else "   " for number in range(100))
    lines += [f"{indent}{arrow}{line}" for arrow, line in zip(arrows, _wrapped(row.advice), strict=False)]
    return "\n".join(line.rstrip() for line in lines)


def _wrapped(line: str) -> list[str]:
    printable = "".join(character if character.isprintable() else " " for character in line)
    if len(printable) <= FOUND_COLUMNS:
        return [printable] if printable else []
    return textwrap.wrap(printable, FOUND_COLUMNS, break_on_hyphens=False)
