"""GitHub runs what a person runs."""

from __future__ import annotations

import os
import re
import tomllib
from typing import Any

import yaml

from tests.support.project import PROJECT

WORKFLOW: dict[str, Any] = yaml.safe_load((PROJECT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))
(JOB,) = WORKFLOW["jobs"].values()


def test_the_workflow_runs_nothing_but_the_projects_own_script() -> None:
    actions = [step["uses"].partition("@")[0] for step in JOB["steps"] if "uses" in step]
    assert actions == ["actions/checkout", "actions/setup-python"]
    assert [step["run"] for step in JOB["steps"] if "run" in step] == [".ci/run"]
    assert os.access(PROJECT / ".ci" / "run", os.X_OK)


def test_the_workflow_has_the_oldest_supported_python_as_its_default_and_that_of_lambda() -> None:
    (versions,) = [step["with"]["python-version"].split() for step in JOB["steps"] if "with" in step]
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["requires-python"] == f">={versions[-1]}"  # setup-python's default is the last one
    template = (PROJECT / "template.yaml").read_text("utf-8")
    assert set(re.findall(r"Runtime: python([0-9.]+)", template)) <= set(versions)


def test_the_workflow_may_only_read() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
