"""Which processes the orphan guard kills when the stack is gone."""

from __future__ import annotations

from local.processes.orphan_guard import watch


def test_processes_that_have_ended_are_no_longer_watched() -> None:
    assert watch(["+1\n", "+2\n", "+3\n", "-2\n", "-9\n"]) == {1, 3}
