"""The variables that a function reads are those that template.yaml gives it: a forgotten one is named."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

import pytest

from local.template import load_template
from settings import VARIABLE_NAMES
from tests.support.project import PROJECT

FUNCTIONS: dict[str, Any] = {
    name: resource["Properties"]
    for name, resource in load_template()["Resources"].items()
    if resource["Type"] == "AWS::Serverless::Function"
}
COMPANIONS = sorted(FUNCTIONS.keys() - {"StreamChatFunction"})
BY_LIBRARIES = {"LOG_LEVEL"}  # Powertools' Logger reads it


def given(function: str) -> set[str]:
    """The names of the variables in the template."""
    return set(FUNCTIONS[function]["Environment"]["Variables"])


def names_read(source: str) -> Iterator[str]:
    """The names in `environ["NAME"]` and `environ.get("NAME")`, with or without `os.` in front."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=environ, attr="get"), args=[ast.Constant(value=str(name)), *_]
            ):
                pass
            case ast.Subscript(value=environ, slice=ast.Constant(value=str(name))):
                pass
            case _:
                continue
        if ast.unparse(environ) in ("environ", "os.environ"):
            yield name


def read_by_code(function: str) -> set[str]:
    """The names of the variables that the function's own modules read."""
    folder = PROJECT / FUNCTIONS[function]["CodeUri"]
    return {name for file in folder.rglob("*.py") for name in names_read(file.read_text(encoding="utf-8"))}


def test_template_gives_the_streaming_function_only_settings_and_what_is_lambdas() -> None:
    assert given("StreamChatFunction") - VARIABLE_NAMES == {"AWS_LAMBDA_EXEC_WRAPPER"}


@pytest.mark.parametrize("function", COMPANIONS)
def test_companion_gets_exactly_the_variables_that_it_reads(function: str) -> None:
    read = read_by_code(function) | BY_LIBRARIES
    assert len(read) > 1
    assert sorted(read - given(function)) == [], "forgotten in template.yaml"
    assert sorted(given(function) - read) == [], "not read"


def test_reading_of_a_variable_is_recognized() -> None:
    source = 'os.environ["A"], environ.get("B", ""), environ[name], other["C"], os.environ.get("D").get("E")'
    assert sorted(names_read(source)) == ["A", "B", "D"]
