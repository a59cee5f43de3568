"""Which processes are killed when the stack is gone."""

from __future__ import annotations

from local.processes.orphan_guard import watch


def test_those_that_have_ended_are_not_watched_any_more() -> None:
    assert watch(["+1\n", "+2\n", "+3\n", "-2\n", "-9\n"]) == {1, 3}
