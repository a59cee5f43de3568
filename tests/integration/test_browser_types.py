"""The browser modules have types, which their own code keeps and a frontend in TypeScript can rely on."""

from __future__ import annotations

from tests.support.node_programs import run_node


def test_the_modules_and_a_frontend_that_uses_them_pass_the_type_checker() -> None:
    assert run_node("node_modules/typescript/bin/tsc", "--project", "tsconfig.json") == ""
