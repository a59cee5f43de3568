"""`python -m local.probe`: its exit status, and what it never prints."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

from local.probe import access
from local.probe.caller import Caller
from local.probe.checks import probed
from local.probe.options import ProbeOptions
from local.probe.session import Session
from local.verdicts import Verdict
from tests.support.network.loopback_server import LoopbackServer, QuietRequest
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import free_ports
from tests.support.service.served_relay import ServedRelay

KEY = "a-key-that-is-a-secret"


class _Echo(QuietRequest):
    """Answers with what it was sent, as careless gateways do in their errors."""

    def do_GET(self) -> None:  # noqa: N802 - http.server names it
        body = f"bad request {'x' * 60} {self.headers['authorization']}".encode()
        self.send_response_only(502)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


PROBE = (sys.executable, "-m", "local.probe")


def run(environ: Mapping[str, str], command: Sequence[str] = PROBE) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": "shared", **environ}
    return subprocess.run(
        command, cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def test_without_a_url_the_probe_prints_its_usage() -> None:
    done = run({})
    assert done.returncode == 2
    assert "URL must be" in done.stderr
    assert "make probe URL=" in done.stderr


def test_no_server_is_one_fault_and_nothing_else_is_tried() -> None:
    done = run({"URL": f"http://127.0.0.1:{free_ports(1)}"})
    assert done.returncode == 1
    assert "1 FAULT, 1 not tried" in done.stdout
    assert done.stderr == ""


def test_the_key_is_not_shown_even_if_a_server_repeats_it() -> None:
    with LoopbackServer(_Echo) as server:
        done = run({"URL": server.url, "KEY": KEY})
    assert done.returncode == 1
    assert "Bearer …" in done.stdout
    assert KEY[:12] not in done.stdout + done.stderr


def test_a_relay_that_takes_signatures_is_probed_with_them(
    signed_relay: ServedRelay, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with Caller(ProbeOptions(url=signed_relay.url, auth="iam")) as caller:
        rows = list(probed(Session(caller), (access.version, access.callers, access.refusals)))
    assert {row.verdict for row in rows} == {Verdict.OK}, rows
    assert {"without a signature", "your signature"} <= {row.subject for row in rows}


@pytest.mark.parametrize(("target", "variable"), [("probe", "URL"), ("doctor", "OPENAI_BASE_URL")])
def test_make_runs_the_command(target: str, variable: str) -> None:
    dry = ["make", "--dry-run", "--no-print-directory", target]
    shown = subprocess.run(dry, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    done = run({}, ["bash", "-c", shown.splitlines()[-1]])
    assert done.returncode == 2
    assert variable in done.stderr
