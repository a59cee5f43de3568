"""An AWS account with CloudFormation, emulated by MiniStack, and a shell to deploy to it."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3

from tests.support.aws.sam import find_sam
from tests.support.interpreters import find_python
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import free_ports

TOOLS = PROJECT / ".venv-walk" / "bin"
REGION = "eu-central-1"
START_LIMIT_S = 60.0

# The host of a function URL does not resolve: the emulator serves it below a path of its own.
_CURL = """\
#!/usr/bin/env bash
args=()
for arg in "$@"; do
  [[ $arg =~ ^https://([a-z0-9]+)\\.lambda-url\\.[a-z0-9-]+\\.on\\.aws/(.*)$ ]] &&
    arg="$AWS_ENDPOINT_URL/_aws/lambda-url/${BASH_REMATCH[1]}/${BASH_REMATCH[2]}"
  args+=("$arg")
done
exec CURL -sS "${args[@]}"
"""
_KEPT = "declare -p SECRET KEY HASH BUCKETS 2>/dev/null; declare -f output"


def missing_tool() -> str | None:
    """What the machine lacks for a walk, or None."""
    tools = {
        "MiniStack": (TOOLS / "ministack").exists(),
        "a SAM CLI": find_sam() is not None,
        "a python3.13": find_python("3.13") is not None,
    }
    return next((name for name, is_there in tools.items() if not is_there), None)


class EmulatedAccount:
    """A context manager: the emulator runs, and is empty, in a process of its own.

    Args:
        folder: for the emulator's state, the shell's and its programs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_ports(1)
        self.url = f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._make_programs()
        (self._folder / "state").mkdir()
        self._log = (self._folder / "ministack.log").open("w")
        settings = {
            "GATEWAY_PORT": str(self._port),
            "BIND_HOST": "127.0.0.1",
            "MINISTACK_HOST": "127.0.0.1",
            "MINISTACK_REGION": REGION,
            "SFTP_ENABLED": "0",
            "STATE_DIR": str(self._folder / "state"),
            "TMPDIR": str(self._folder),
        }
        self._process = subprocess.Popen(
            [TOOLS / "ministack"],
            env={"PATH": os.environ["PATH"], "HOME": str(self._folder), "NO_PROXY": "*", **settings},
            cwd=self._folder,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        deadline = time.monotonic() + START_LIMIT_S
        while time.monotonic() < deadline and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
            except OSError:
                time.sleep(0.1)
            else:
                return self
        self._end()
        raise AssertionError((self._folder / "ministack.log").read_text()[-2000:])

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._end()

    @property
    def environ(self) -> dict[str, str]:
        """The environment of the shell: this account's credentials, region and tools, and no others."""
        python = find_python("3.13")
        assert python is not None
        return {
            "PATH": os.pathsep.join([str(self._folder / "bin"), str(python.parent), os.environ["PATH"]]),
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "NO_PROXY": "*",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "SAM_CLI_TELEMETRY": "0",
            "SAM_CLI_POLL_DELAY": "1",  # seconds
            "OPENAI_API_KEY": "sk-of-the-walk",
        }

    def run(self, code: str, project: Path, *, status: int = 0) -> str:
        """The output of a block that bash runs in this folder, with the variables of earlier blocks."""
        kept = self._folder / "shell"
        kept.touch()
        script = f". {kept}\n{code}\n{{ {_KEPT}; }} > {kept} || true"
        done = subprocess.run(
            ["bash", "-e", "-u", "-o", "pipefail", "-c", script],
            cwd=project,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout[-4000:]
        return done.stdout

    def client(self, service: str) -> Any:
        """A boto3 client of the account."""
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def _make_programs(self) -> None:
        programs = self._folder / "bin"
        programs.mkdir()
        sam = find_sam()
        assert sam is not None
        (programs / "sam").symlink_to(sam.absolute())
        (programs / "aws").symlink_to(TOOLS / "aws")
        found = subprocess.run(["bash", "-c", "command -v curl"], capture_output=True, text=True, check=True)
        curl = programs / "curl"
        curl.write_text(_CURL.replace("CURL", found.stdout.strip()))
        curl.chmod(0o755)

    def _end(self) -> None:
        self._process.terminate()
        self._process.wait(30)
        self._log.close()
