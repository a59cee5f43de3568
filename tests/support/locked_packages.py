"""`make audit`: asks OSV (osv.dev) through pip-audit for known vulnerabilities of all locked packages.

pip-audit asks PyPI by default, but skips a package for which PyPI answers 404, with exit code 0. OSV answers
for each package, or the audit fails.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.project import PROJECT

PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;\\]+)", re.MULTILINE)
FOUND, NOT_AUDITED = 1, 2  # exit codes

Pin = tuple[str, str]  # name, version


class NotAuditedError(Exception):
    """The vulnerability service gave no answer; the text says why."""


def lock_files(project: Path = PROJECT) -> list[Path]:
    """Every lock file: those of deployed packages, and those of tests and tools."""
    return sorted([*project.glob("requirements-*.txt"), *project.glob("shared/**/requirements.txt")])


def pins(text: str) -> set[Pin]:
    """The packages in the text of a lock file."""
    return {(match["name"].lower(), match["version"]) for match in PIN.finditer(text)}


def locked(project: Path = PROJECT) -> dict[Pin, list[str]]:
    """The packages of all lock files, each with the files that name it.

    Packages for other platforms and versions of Python are included, because the functions run elsewhere.
    """
    found: dict[Pin, list[str]] = {}
    for lock in lock_files(project):
        text = lock.read_text(encoding="utf-8")
        for pin in pins(text):
            found.setdefault(pin, []).append(lock.relative_to(project).as_posix())
    return dict(sorted(found.items()))


def vulnerabilities(
    pins: Sequence[Pin], *options: str, python: str = sys.executable
) -> dict[Pin, list[dict[str, Any]]]:
    """The known vulnerabilities of those packages that have any.

    Args:
        pins: the packages to ask about.
        options: options of pip-audit, such as `--osv-url`.
        python: an interpreter that has pip-audit.

    Raises:
        NotAuditedError: the service could not be reached, or did not answer for every package.
    """
    found = {}
    for request in _without_second_versions(pins):
        for dependency in _ask(request, options, python):
            if dependency["vulns"]:
                found[dependency["name"].lower(), dependency["version"]] = dependency["vulns"]
    return found


def _without_second_versions(pins: Sequence[Pin]) -> Iterator[list[Pin]]:
    """Lists of pins without duplicate names, because pip-audit rejects duplicates."""
    rest = list(pins)
    while rest:
        first = {name: (name, version) for name, version in reversed(rest)}
        yield list(first.values())
        rest = [pin for pin in rest if pin != first[pin[0]]]


def _ask(pins: Sequence[Pin], options: Sequence[str], python: str) -> list[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text("".join(f"{name}=={version}\n" for name, version in pins), encoding="utf-8")
        # No hashes are needed, because nothing is installed here.
        command = [python, "-m", "pip_audit", "--vulnerability-service", "osv", "--strict"]
        command += ["--requirement", str(requirements), "--no-deps", "--disable-pip"]
        command += ["--format", "json", "--progress-spinner", "off"]
        result = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
    try:
        dependencies: list[dict[str, Any]] = json.loads(result.stdout)["dependencies"]
    except ValueError:
        raise NotAuditedError(result.stderr.strip().rpartition("\n")[2]) from None
    if len(dependencies) != len(pins):
        raise NotAuditedError(f"{len(dependencies)} answers to {len(pins)} questions")
    return dependencies


def _report(found: Mapping[Pin, list[dict[str, Any]]], where: Mapping[Pin, list[str]]) -> Iterator[str]:
    for (name, version), known in sorted(found.items()):
        for vulnerability in known:
            fixed = ", ".join(vulnerability["fix_versions"]) or "no version yet"
            named = ", ".join([vulnerability["id"], *vulnerability["aliases"]])
            yield f"{name} {version} ({', '.join(where[name, version])}): {named}; fixed in {fixed}"


def main(*options: str) -> int:
    """Audit the project's lock files. Returns 0 if no vulnerability is known, else FOUND or NOT_AUDITED."""
    packages = locked()
    scope = f"{len(packages)} packages of {', '.join(str(f.relative_to(PROJECT)) for f in lock_files())}"
    try:
        found = vulnerabilities(list(packages), *options)
    except NotAuditedError as error:
        print(
            f"NOT AUDITED: OSV did not answer for the {scope}. Their vulnerabilities are unknown.\n  {error}"
        )
        return NOT_AUDITED
    for line in _report(found, packages):
        print(line)
    print(f"Known vulnerabilities in {len(found)} of the {scope}")
    return FOUND if found else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
