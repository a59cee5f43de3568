"""The SAM template as data, and the SAM CLI as a command."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.project import PROJECT


def consumers_queues(template: Mapping[str, Any]) -> dict[str, str]:
    """Logical names: queue that consumers read → its dead-letter queue."""
    queues = {
        name: resource["Properties"]
        for name, resource in template["Resources"].items()
        if resource["Type"] == "AWS::SQS::Queue"
    }
    return {
        name: queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"].removesuffix(".Arn")
        for name, queue in queues.items()
        if "RedrivePolicy" in queue
    }


def queue_url(name: str) -> str:
    """The URL that stands for the queue of this logical name."""
    return f"https://sqs.eu-central-1.amazonaws.com/123456789012/{name}"


def evaluate(template: Mapping[str, Any], value: Any, parameters: Mapping[str, str] | None = None) -> Any:
    """A value as CloudFormation would evaluate it, with `parameters` in place of the template's defaults.

    No library does this: samtranslator and cfn-flip leave conditions and functions to CloudFormation.

    A reference to a queue becomes its URL, a reference to any other resource the resource's name, and a
    reference to an attribute `Name.Attribute`.
    """
    defaults = {name: str(declared.get("Default", "")) for name, declared in template["Parameters"].items()}
    given = {**defaults, **(parameters or {})}

    def reference(name: str) -> str:
        is_queue = template["Resources"].get(name, {}).get("Type") == "AWS::SQS::Queue"
        return given.get(name, queue_url(name) if is_queue else name)

    def value_of(value: Any) -> Any:
        match value:
            case {"Ref": "AWS::NoValue"}:
                return None
            case {"Ref": name}:
                return reference(name)
            case {"Fn::Sub": str(text)}:
                return re.sub(r"\$\{([^}]+)\}", lambda found: reference(found[1]), text)
            case {"Fn::Sub": [text, dict(names)]}:
                own = {name: value_of(inner) for name, inner in names.items()}
                return re.sub(
                    r"\$\{([^}]+)\}",
                    lambda found: own[found[1]] if found[1] in own else reference(found[1]),
                    text,
                )
            case {"Fn::Select": [index, listed]}:
                found = value_of(listed)  # a parameter of the type CommaDelimitedList is one text
                return (found.split(",") if isinstance(found, str) else found)[int(index)]
            case {"Condition": str(name)}:
                return value_of(template["Conditions"][name])
            case {"Fn::If": [condition, yes, no]}:
                return value_of(yes if value_of({"Condition": condition}) else no)
            case {"Fn::Equals": [left, right]}:
                return str(value_of(left)) == str(value_of(right))
            case {"Fn::Not": [negated]}:
                return not value_of(negated)
            case {"Fn::And": conditions}:
                return all(value_of(condition) for condition in conditions)
            case {"Fn::Or": conditions}:
                return any(value_of(condition) for condition in conditions)
            case {"Fn::GetAtt": str(attribute)}:
                return attribute
            case {"Fn::GetAtt": [name, attribute]}:
                return f"{name}.{attribute}"
            case list():
                return [item for inner in value if (item := value_of(inner)) is not None]
            case dict() if not any(key.startswith("Fn::") for key in value):
                return {key: item for key, inner in value.items() if (item := value_of(inner)) is not None}
            case bool():
                return value
            case str() | int():
                return str(value)
        raise TypeError(f"unknown in a template: {value!r}")

    return value_of(value)


def function_environment(
    template: Mapping[str, Any], function: str, parameters: Mapping[str, str] | None = None
) -> dict[str, str]:
    """A function's environment variables as CloudFormation would set them; see `evaluate`."""
    variables = template["Resources"][function]["Properties"]["Environment"]["Variables"]
    return {name: evaluate(template, value, parameters) for name, value in variables.items()}


def deployed(
    template: Mapping[str, Any], kind: str, parameters: Mapping[str, str] | None = None
) -> dict[str, dict[str, Any]]:
    """The resources of a type that exist with these parameters: logical name → evaluated properties."""
    found = {}
    for name, resource in template["Resources"].items():
        condition = resource.get("Condition")
        exists = condition is None or evaluate(template, {"Condition": condition}, parameters)
        if resource["Type"] == kind and exists:
            found[name] = evaluate(template, resource["Properties"], parameters)
    return found


def _environment() -> dict[str, str]:
    """This process's environment without AWS credentials."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, "AWS_DEFAULT_REGION": "eu-central-1", "SAM_CLI_TELEMETRY": "0"}


def find_sam() -> Path | None:
    """The SAM CLI that DELTA_RELAY_SAM names, or else the one that `make test` sets up."""
    sam = Path(os.environ.get("DELTA_RELAY_SAM") or PROJECT / ".venv-sam" / "bin" / "sam")
    return sam if sam.exists() else None


def sam_says(sam: Path, program: str, *arguments: str) -> Any:
    """The JSON that a program prints. The SAM CLI's own Python runs it in the project's folder."""
    python = sam.resolve().parent / "python"
    result = subprocess.run(
        [python, "-c", program, *arguments],
        cwd=PROJECT,
        env=_environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


# Translates the template as SAM does when it is deployed.
_TRANSLATE = """
import json, pathlib
from samcli.yamlhelper import yaml_parse
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator

template = yaml_parse(pathlib.Path("template.yaml").read_text(encoding="utf-8"))
for resource in template["Resources"].values():
    for folder in {"CodeUri", "ContentUri"} & set(resource["Properties"]):
        resource["Properties"][folder] = "s3://bucket/key"  # where `sam deploy` uploads it
parameters = {name: str(declared.get("Default", "")) for name, declared in template["Parameters"].items()}
print(json.dumps(Translator({}, Parser()).translate(template, parameters)))
"""


def translated_template(sam: Path) -> dict[str, Any]:
    """template.yaml as SAM translates it for CloudFormation."""
    template: dict[str, Any] = sam_says(sam, _TRANSLATE)
    return template


def run_sam(
    sam: Path, *arguments: str | Path, first_on_path: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the SAM CLI on the project without AWS credentials; `stdout` of the result contains stderr."""
    folders = [*([str(first_on_path)] if first_on_path else []), os.environ["PATH"]]
    return subprocess.run(
        [sam, *arguments],
        cwd=PROJECT,
        env={**_environment(), "PATH": os.pathsep.join(folders)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
