"""The questions of a guided deployment, and the answers that the documentation gives."""

from __future__ import annotations

from typing import Any

import pytest

from local.template import load_template
from tests.support.aws.sam import evaluate
from tests.support.documentation import PAGES, tables

TEMPLATE = load_template()
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
QUESTIONS = next(table for table in tables(PAGES["docs/deploy.md"]) if table[0][0] == "question")[2:]


def test_guided_deployment_asks_little_in_order_of_importance_and_enter_is_an_answer() -> None:
    assert list(PARAMETERS) == [
        "OpenAiApiKeySecretId", "CallerKeys", "AuthMode",
        "OpenAiBaseUrl", "AllowedOrigins", "ReservedConcurrency",
        "PublishTranscripts", "ArchiveDays",
        "Dashboard", "AlarmThresholds", "AlarmTopicArn",
        "FunctionTimeoutS", "FunctionMemoryMb", "Architecture",
        "LogLevel", "LogRetentionDays", "Tracing", "IamPrincipal", "Settings",
    ]  # fmt: skip
    assert [name for name, declared in PARAMETERS.items() if "Default" not in declared] == []
    # The SAM CLI asks again and again for a hidden parameter that is left empty.
    assert [name for name, declared in PARAMETERS.items() if declared.get("NoEcho")] == []
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [name for group in interface["ParameterGroups"] for name in group["Parameters"]]
    assert grouped == list(PARAMETERS)


def test_the_defaults_keep_every_rule() -> None:
    for rule in TEMPLATE["Rules"].values():
        if evaluate(TEMPLATE, rule["RuleCondition"]):
            assert all(evaluate(TEMPLATE, assertion["Assert"]) for assertion in rule["Assertions"])


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_every_parameter_is_described_and_used(name: str) -> None:
    assert len(PARAMETERS[name]["Description"]) > 20
    used = str([TEMPLATE["Globals"], TEMPLATE["Resources"], TEMPLATE["Conditions"]])
    assert f"{{'Ref': '{name}'}}" in used


def test_the_page_lists_the_questions_in_their_order_with_what_enter_means() -> None:
    asked = [row[0].strip("`") for row in QUESTIONS]
    assert asked[:2] == ["Stack Name", "AWS Region"]
    assert asked[2 : 2 + len(PARAMETERS)] == list(PARAMETERS)
    for name, enter, _ in QUESTIONS[2 : 2 + len(PARAMETERS)]:
        default = str(PARAMETERS[name.strip("`")]["Default"])
        assert enter.startswith(f"`{default}`" if default else "empty"), name


def test_nothing_asks_whether_a_missing_authentication_is_okay() -> None:
    # The SAM CLI asks this for Api events and FunctionUrlConfig, and takes Enter for no: the deployment ends.
    text = str(TEMPLATE["Resources"])
    assert "FunctionUrlConfig" not in text
    assert "'Type': 'Api'" not in text
