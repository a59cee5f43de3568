from __future__ import annotations

import tomllib

from product import PRODUCT, VERSION
from tests.support.project import PROJECT


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert (project["name"], project["version"]) == ("delta-relay", VERSION)
    assert f"{project['name']}/{VERSION}" == PRODUCT
