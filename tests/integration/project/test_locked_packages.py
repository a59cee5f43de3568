"""The audit of locked packages: real pip-audit, with a loopback server in place of OSV."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.locked_packages import NotAuditedError, lock_files, locked, pins, vulnerabilities
from tests.support.network.loopback_server import LoopbackServer, QuietRequest
from tests.support.project import PROJECT

AUDIT_PYTHON = PROJECT / ".venv-audit" / "bin" / "python"
ADVISORY = {
    "id": "GHSA-0000-0000-0001",
    "aliases": ["CVE-2026-0001"],
    "summary": "Opens the door.",
    "affected": [
        {
            "package": {"name": "leaky", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"}]}],
        }
    ],
}


class Osv(QuietRequest):
    """Knows a vulnerability of leaky 1.0, and fails when asked about the package named broken."""

    def do_POST(self) -> None:  # noqa: N802 - the base class's name
        query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        asked = (query["package"]["name"], query["version"])
        body = json.dumps({"vulns": [ADVISORY]} if asked == ("leaky", "1.0") else {}).encode()
        self.send_response(503 if asked[0] == "broken" else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def osv() -> Iterator[str]:
    with LoopbackServer(Osv) as server:
        yield server.url


@pytest.fixture(scope="module")
def python() -> str:
    if not AUDIT_PYTHON.exists():
        pytest.skip("no pip-audit: `make audit` sets it up")
    return str(AUDIT_PYTHON)


def test_vulnerability_of_one_of_two_locked_versions_is_found(osv: str, python: str) -> None:
    pins = [("sound", "3.1"), ("leaky", "2.0"), ("leaky", "1.0")]
    found = vulnerabilities(pins, "--osv-url", osv, python=python)
    ((pin, (vulnerability,)),) = found.items()
    assert pin == ("leaky", "1.0")
    assert {vulnerability["id"], *vulnerability["aliases"]} == {"GHSA-0000-0000-0001", "CVE-2026-0001"}
    assert vulnerability["fix_versions"] == ["2.0"]


def test_audit_fails_if_the_service_does_not_answer(osv: str, python: str) -> None:
    with pytest.raises(NotAuditedError, match=r"\w+"):
        vulnerabilities([("broken", "1.0")], "--osv-url", osv, python=python)


def test_packages_for_every_platform_and_python_are_audited(tmp_path: Path) -> None:
    httpx = "httpx==0.28.1 \\\n    --hash=sha256:01\n"
    colors = "Colors==1.0 ; sys_platform == 'win32' \\\n    --hash=sha256:02\n"
    numpy = "numpy==1.0 ; python_version < '3.12'\nnumpy==2.0 ; python_version >= '3.12'\n"
    (tmp_path / "shared" / "layer").mkdir(parents=True)
    (tmp_path / "requirements-dev.txt").write_text(colors + httpx + numpy, encoding="utf-8")
    (tmp_path / "shared" / "layer" / "requirements.txt").write_text(httpx, encoding="utf-8")
    assert locked(tmp_path) == {
        ("colors", "1.0"): ["requirements-dev.txt"],
        ("httpx", "0.28.1"): ["requirements-dev.txt", "shared/layer/requirements.txt"],
        ("numpy", "1.0"): ["requirements-dev.txt"],
        ("numpy", "2.0"): ["requirements-dev.txt"],
    }


def test_every_lock_file_that_make_lock_writes_is_audited_and_pinned_by_hash() -> None:
    recipe = (
        (PROJECT / "Makefile").read_text(encoding="utf-8").partition("\nlock:")[2].partition("\nclean:")[0]
    )
    written = {word.partition(":")[2] for word in recipe.replace(";", " ").split() if word.endswith(".txt")}
    names = {lock.relative_to(PROJECT).as_posix() for lock in lock_files()}
    assert names == written
    for lock in lock_files():
        entries = re.findall(r"^\S+==.*(?:\n .*)*", lock.read_text(encoding="utf-8"), re.MULTILINE)
        assert entries
        assert all("--hash=sha256:" in entry for entry in entries), lock


@pytest.mark.parametrize(
    "part", ["requirements-run.txt", "shared/requirements.txt", "shared/jwt_layer/requirements.txt"]
)
def test_tests_run_with_the_deployed_and_the_served_versions(part: str) -> None:
    everything = pins((PROJECT / "requirements-dev.txt").read_text(encoding="utf-8"))
    assert pins((PROJECT / part).read_text(encoding="utf-8")) <= everything
