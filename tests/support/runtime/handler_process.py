"""A Lambda handler in its own process, called as by the stock runtime: one process for one invocation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import boto3

from tests.support.project import PROJECT

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "eu-central-1",
}


def client_of(service: str, endpoint: str, region: str = CREDENTIALS["AWS_DEFAULT_REGION"]) -> Any:
    """Create a client for the test, with the credentials that the handler has."""
    make: Any = boto3.client
    return make(
        service,
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
    )


# As on Lambda, the root logger has the function's level, so that logs of libraries are seen too. An exception
# ends the process with a traceback. The handler's return value is the last line of the output.
INVOKE = """
import importlib, json, logging, os, sys, time

class Context:
    function_name = aws_request_id = invoked_function_arn = "test"
    memory_limit_in_mb = 512

    def __init__(self):
        self.ends_at = time.monotonic() + float(sys.argv[2])

    def get_remaining_time_in_millis(self):
        return max(0, int((self.ends_at - time.monotonic()) * 1000))

logging.basicConfig(level=os.environ.get("LOG_LEVEL", "INFO"))
handler = importlib.import_module(sys.argv[1])
print("\\n" + json.dumps(handler.handle(json.load(sys.stdin), Context())))
"""


@dataclass(frozen=True, slots=True)
class HandlerRun:
    """The result of an invocation: the exit status, the return value if it is 0, and everything logged."""

    status: int
    returned: Any
    log: str

    @property
    def last_line(self) -> str:
        """The last line of the log: for a traceback, the error."""
        return self.log.rstrip().rpartition("\n")[-1]

    @property
    def records(self) -> list[dict[str, Any]]:
        """The handler's own log records."""
        return [json.loads(line) for line in self.log.splitlines() if line.startswith("{")]


def run_handler(
    function: str, handler: str, event: Any, environment: Mapping[str, str], remaining_s: float = 60.0
) -> HandlerRun:
    """Invoke `handle` of the module `handler` in functions/`function`, with `remaining_s` left."""
    folders = [str(PROJECT / "functions" / function), str(PROJECT / "shared")]
    process = subprocess.run(
        [sys.executable, "-c", INVOKE, handler, str(remaining_s)],
        input=json.dumps(event),
        env={**CREDENTIALS, "PYTHONPATH": os.pathsep.join(folders), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    if process.returncode:
        return HandlerRun(process.returncode, None, process.stdout + process.stderr)
    log, _, returned = process.stdout.rstrip().rpartition("\n")
    return HandlerRun(0, json.loads(returned), log + process.stderr)
