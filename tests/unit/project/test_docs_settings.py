"""docs/settings.md has every setting that the code reads, every parameter of the template, and no other."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import pytest

from local.settings import OWN_NAMES, LocalSettings
from local.template import load_template
from settings import SETTING_NAMES, VARIABLE_NAMES, Settings
from tests.support.documentation import PAGES, tables
from tests.support.project import PROJECT

PAGE = PAGES["docs/settings.md"]
PARAMETERS: dict[str, Any] = load_template()["Parameters"]
FUNCTIONS = {
    "companion": "PublishTranscriptFunction",
    "archive": "ArchiveTranscriptsFunction",
    "redrive": "RedriveTranscriptsFunction",
}
NONE = "\N{EN DASH}"
REFERENCE = re.compile(r"'Ref': '(\w+)'")


def bare(cell: str) -> str:
    """A cell that holds one name in code, without its backticks."""
    return cell.strip("`")


def rows(*head: str) -> list[list[str]]:
    """The rows of all tables with this head."""
    return [row for table in tables(PAGE) if table[0] == list(head) for row in table[2:]]


DEPLOYED = rows("variable", "parameter", "default", "meaning")
OTHERS = rows("variable", "function", "meaning")
LOCAL = rows("variable", "default", "meaning")


def variables_of(function: str) -> dict[str, Any]:
    """The variables that the template sets for a function, except Lambda's own."""
    variables = load_template()["Resources"][function]["Properties"]["Environment"]["Variables"]
    return {name: value for name, value in variables.items() if not name.startswith("AWS_")}


def read_by(pattern: str) -> set[str]:
    """The variables that modules read from the environment by name, except AWS's own."""
    found: set[str] = set()
    for path in PROJECT.glob(pattern):
        text = path.read_text(encoding="utf-8")
        found |= set(re.findall(r'environ(?:\.get\(|\[|, )"([A-Z][A-Z0-9_]+)"', text))
    return {name for name in found if name not in SETTING_NAMES and not name.startswith("AWS_LAMBDA_")}


def deviations(column: int, names: Iterable[str]) -> dict[str, list[str]]:
    """The names that have no row of the tables, and the rows that have no such name or repeat one."""
    rows = Counter(bare(row[column]) for row in DEPLOYED if row[column] != NONE)
    expected = Counter(list(names))
    return {
        "without a row": sorted((expected - rows).elements()),
        "rows too many": sorted((rows - expected).elements()),
    }


def test_every_setting_of_the_streaming_function_has_one_row() -> None:
    assert deviations(0, VARIABLE_NAMES) == {"without a row": [], "rows too many": []}


def test_every_parameter_of_the_template_has_one_row() -> None:
    assert deviations(1, PARAMETERS) == {"without a row": [], "rows too many": []}


def test_a_variable_stands_beside_the_parameter_that_sets_it() -> None:
    variables = variables_of("StreamChatFunction")
    named = {key: PARAMETERS.keys() & set(REFERENCE.findall(str(value))) for key, value in variables.items()}
    for name, parameter in (map(bare, row[:2]) for row in DEPLOYED):
        if name != NONE:
            assert named.get(name, set()) == ({parameter} if parameter != NONE else set())
        elif parameter in PARAMETERS:
            assert {parameter} not in named.values()


@pytest.mark.parametrize("row", DEPLOYED, ids=lambda row: bare(row[0] if row[0] != NONE else row[1]))
def test_the_defaults_are_those_of_the_code_and_the_template(row: list[str]) -> None:
    name, parameter, default = bare(row[0]), bare(row[1]), row[2]
    if name in SETTING_NAMES:
        value = getattr(Settings(openai_base_url="https://api.openai.com/v1"), name.lower())
        text = ",".join(value) if isinstance(value, tuple) else value
        assert default == shown(text)
    if parameter != NONE:
        # The template either leaves out a default of the code or repeats it.
        assert default == shown(PARAMETERS[parameter]["Default"]) or PARAMETERS[parameter]["Default"] == ""


def shown(value: Any) -> Any:
    """A default as the page has it: in code, or in words where nothing is set."""
    if value in ("", None) or (value == 0 and not isinstance(value, bool)):
        return Words()
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


class Words:
    """Equal to any cell that says in words that nothing is set."""

    def __eq__(self, cell: object) -> bool:
        return cell in ("none", "no limit", "every model")

    def __hash__(self) -> int:
        return 0


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_the_other_functions_settings_are_those_that_the_template_sets(function: str) -> None:
    assert {row[1] for row in OTHERS} == set(FUNCTIONS)
    shown_there = {bare(row[0]) for row in OTHERS if row[1] == function}
    assert shown_there | {"LOG_LEVEL"} == set(variables_of(FUNCTIONS[function]))


def test_every_variable_that_a_function_reads_by_name_is_on_the_page() -> None:
    read = read_by("functions/**/*.py") - {"AWS_SAM_LOCAL"}  # set by `sam local` alone
    assert {"ARCHIVE_BUCKET", "DEAD_LETTER_QUEUES", "SSL_CERT_FILE"} <= read
    assert [name for name in sorted(read) if f"`{name}`" not in PAGE] == []


def test_the_local_stacks_settings_are_those_that_it_reads() -> None:
    assert {bare(row[0]) for row in LOCAL} == read_by("local/settings.py") == OWN_NAMES


def test_the_local_stacks_defaults_are_those_of_the_code() -> None:
    settings = LocalSettings.from_environment({})
    shown_there = {bare(row[0]): bare(row[1]) for row in LOCAL}
    assert shown_there == {
        "PORT": str(settings.port),
        "FUNCTION_TIMEOUT_S": f"{settings.function_timeout_s:g}",
        "MAX_ENVIRONMENTS": str(settings.max_environments),
        "SCRIPTED_MODEL_WORDS_PER_S": f"{settings.words_per_s:g}",
        "ARCHIVE_FOLDER": str(settings.archive_folder.relative_to(PROJECT)),
        "UNDELIVERED_FOLDER": str(settings.undelivered_folder.relative_to(PROJECT)),
        "LOG_FOLDER": str(settings.log_folder.relative_to(PROJECT)),
        "VERBOSE": str(int(settings.verbose)),
        "ALLOWED_ORIGINS": "pages of this machine",
        "AWS_ENDPOINT_FOR_FUNCTIONS": settings.functions_aws_endpoint,
    }
    assert settings.allowed_origins == ()


def in_code(page: str, head: str) -> set[str]:
    """The names in the first column of the tables of a page whose first heading is this."""
    rows_below = [row for table in tables(PAGES[page]) if table[0][0] == head for row in table[2:]]
    return {name for row in rows_below for name in re.findall(r"`(\w+)`", row[0])}


def test_every_output_of_the_template_is_explained() -> None:
    assert in_code("docs/after-deploying.md", "output") == set(load_template()["Outputs"])


def test_every_alarm_of_the_template_is_explained() -> None:
    resources = load_template()["Resources"].items()
    alarms = {name for name, resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"}
    assert in_code("docs/operations.md", "alarm") == alarms


def test_the_parameters_that_the_pages_set_exist() -> None:
    given = set(re.findall(r"(?<![,?])\b((?:[A-Z][a-z]+){2,}[A-Z]?)=", "".join(PAGES.values())))
    assert {"AuthMode", "OpenAiApiKeySecretId", "CallerKeys", "ReservedConcurrency"} <= given
    assert given <= set(PARAMETERS)
