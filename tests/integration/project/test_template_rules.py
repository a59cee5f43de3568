"""The template as SAM translates it keeps the rules of cfn-lint and checkov, with documented exceptions."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from local.template import load_template
from tests.support.project import PROJECT

AUDIT_PYTHON = PROJECT / ".venv-audit" / "bin" / "python"
EXCEPTIONS = PROJECT / ".checkov.yaml"


@pytest.fixture(scope="module")
def report(translated: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Checkov's findings without conditions: it skips resources whose condition is false by default."""
    if not AUDIT_PYTHON.exists():
        pytest.skip("no checkov: `make audit` sets it up")
    resources = {
        name: {key: value for key, value in resource.items() if key != "Condition"}
        for name, resource in translated["Resources"].items()
    }
    file = tmp_path_factory.mktemp("template") / "template.json"
    file.write_text(json.dumps({**translated, "Resources": resources}), encoding="utf-8")
    program = [str(AUDIT_PYTHON), "-m", "checkov.main"]
    options = ["--config-file", str(EXCEPTIONS), "-f", str(file), "-o", "json"]
    result = subprocess.run(
        [*program, *options], cwd=file.parent, capture_output=True, text=True, check=False
    )
    found: dict[str, Any] = json.loads(result.stdout)
    return found


# test_sam_build.py runs `sam validate --lint`, which misses what is wrong in Globals, such as a Runtime.
def test_translated_template_keeps_the_rules_of_cfn_lint(translated: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "template.json"
    file.write_text(json.dumps(translated), encoding="utf-8")
    cfn_lint = PROJECT / ".venv-sam" / "bin" / "cfn-lint"  # a dependency of the SAM CLI
    result = subprocess.run([cfn_lint, "-t", file], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, "")


def test_template_keeps_the_rules_of_checkov(report: dict[str, Any]) -> None:
    failed = [(check["check_id"], check["resource"]) for check in report["results"]["failed_checks"]]
    assert failed == []
    assert report["results"]["parsing_errors"] == []
    assert report["summary"]["passed"] >= 70


def test_every_exception_at_a_resource_is_still_needed(report: dict[str, Any]) -> None:
    skipped = report["results"]["skipped_checks"]
    used = {(check["resource"].split(".")[-1], check["check_id"]) for check in skipped}
    assert used == set(exceptions_at_resources())


def exceptions_at_resources() -> dict[tuple[str, str], str]:
    """(Resource, check) → the reason."""
    return {
        (name, exception["id"]): exception["comment"]
        for name, resource in load_template()["Resources"].items()
        for exception in resource.get("Metadata", {}).get("checkov", {}).get("skip", [])
    }


def test_every_exception_has_its_reason() -> None:
    assert all(len(reason) > 15 for reason in exceptions_at_resources().values())
    lines = EXCEPTIONS.read_text(encoding="utf-8").splitlines()
    everywhere = yaml.safe_load("\n".join(lines))["skip-check"]
    for check in everywhere:
        (at,) = [number for number, line in enumerate(lines) if line.strip().startswith(f"- {check}")]
        assert "#" in lines[at] or lines[at - 1].strip().startswith("#"), check
