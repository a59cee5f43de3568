"""The table of verdicts: what it shows, what it hides, and the exit status."""

from __future__ import annotations

from local.verdicts import exit_status, fault, not_tried, ok, shown, summary, unclear, without_secrets

ROWS = [ok("a", "1"), fault("b", "2", "mend it"), unclear("c", "3"), not_tried("d", "costs too much")]


def test_only_a_fault_makes_the_command_fail() -> None:
    assert exit_status(ROWS) == 1
    assert exit_status([row for row in ROWS if row.subject != "b"]) == 0


def test_a_row_shows_its_subject_verdict_finding_and_advice() -> None:
    text = shown(fault("a subject", "found\n" + "word " * 40, "advice " * 20))
    first, second, *_ = text.splitlines()
    assert first.split() == ["a", "subject", "FAULT", "found"]
    assert second.split()[0] == "word"
    assert text.count("->") == 1
    assert text.split().count("word") == 40
    assert text.split().count("advice") == 20


def test_what_a_server_sends_cannot_move_the_cursor() -> None:
    assert "\x1b" not in shown(unclear("a", "\x1b[2J\x07gone"))


def test_the_summary_counts_the_verdicts() -> None:
    assert summary(ROWS) == "1 ok, 1 FAULT, 1 unclear, 1 not tried"


def test_secrets_are_hidden_also_where_one_contains_another() -> None:
    assert without_secrets("key sk-1234-5678, sk-1234", ["sk-1234", "sk-1234-5678", ""]) == "key …, …"
