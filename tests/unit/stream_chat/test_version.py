from __future__ import annotations

import tomllib

from tests.support.project import PROJECT
from version import PRODUCT, VERSION


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["name"], project["version"]) == ("delta-relay", VERSION)
    assert f"{project['name']}/{VERSION}" == PRODUCT
