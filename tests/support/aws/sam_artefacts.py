"""What `sam build` has made of the streaming function, and programs that load it as Lambda does."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.template import load_template
from tests.support.aws.sam import function_environment

# What Lambda's stock runtime does under `sam local`: import the handler once, call it with (event, context).
STOCK_RUNTIME = """
import json, sys
from app import handle

class Context:
    aws_request_id = "5f0c6a3e-8d1b-4a57-9e32-71c4b0d9f6aa"
    def get_remaining_time_in_millis(self): return 60_000

print(json.dumps(handle(json.load(sys.stdin), Context())))
"""

# Import what an environment imports before its first request. Print the files of all modules that are loaded
# then, and of those that Python had to compile.
LOADING = """
import json, sys
from importlib.machinery import SourceFileLoader

compiled = []

def source_to_code(loader, data, path, **options):
    compiled.append(path)
    return compile_source(loader, data, path, **options)

compile_source, SourceFileLoader.source_to_code = SourceFileLoader.source_to_code, source_to_code

import app, lambda_stream.runtime

loaded = [getattr(module, "__file__", None) for module in sys.modules.values()]
print(json.dumps({"compiled": compiled, "loaded": [file for file in loaded if file]}))
"""


@dataclass(frozen=True)
class Build:
    """A finished build.

    Attributes:
        python: the interpreter that it was made for.
        folder: holds the artefacts, each under the name of its resource.
    """

    python: Path
    folder: Path

    @property
    def function(self) -> Path:
        """The streaming function's artefact."""
        return self.folder / "StreamChatFunction"

    @property
    def layer(self) -> Path:
        """The shared layer's artefact, which Lambda mounts at /opt."""
        return self.folder / "SharedLayer"

    def invoke(self, event: Mapping[str, Any], upstream_url: str) -> dict[str, Any]:
        """The response object that the built handler returns to the stock runtime under `sam local`."""
        parameters = {
            "PublishTranscripts": "false",
            "AuthMode": "none",
            "Settings": '{"PLAYGROUND": true}',
            "OpenAiBaseUrl": upstream_url,
        }
        command: list[str | Path] = [self.python, "-c", STOCK_RUNTIME]
        variables = {"AWS_SAM_LOCAL": "true"}
        answer: dict[str, Any] = _run(
            command, self.function, self.layer, parameters, variables, json.dumps(event)
        )
        return answer


@dataclass(frozen=True)
class Deployed:
    """Copies of the streaming function and its layer as Lambda has them: read-only, with other file times."""

    python: Path
    function: Path
    layer: Path

    def load(self) -> dict[str, set[str]]:
        """The files of both: "loaded" before the first request, and "compiled" for that."""
        command: list[str | Path] = [
            self.python,
            "-S",
            "-c",
            LOADING,
        ]  # -S: without what this machine loads into every Python
        # With a caller, because for the table of callers alone the function would load the boto3 of Lambda.
        parameters = {"OpenAiBaseUrl": "http://127.0.0.1:9/v1", "CallerKeys": f"web:{'0' * 64}"}
        variables = {"PYTHONDONTWRITEBYTECODE": "1"}  # Lambda's disk is read-only
        files: dict[str, list[str]] = _run(command, self.function, self.layer, parameters, variables)
        ours = (str(self.function), str(self.layer))
        return {kind: {file for file in names if file.startswith(ours)} for kind, names in files.items()}


def _run(
    command: Sequence[str | Path],
    function: Path,
    layer: Path,
    parameters: Mapping[str, str],
    variables: Mapping[str, str],
    stdin: str = "",
) -> Any:
    """The JSON on a program's last line. The template, with these parameters, gives its environment."""
    result = subprocess.run(
        command,
        input=stdin,
        env={
            **function_environment(load_template(), "StreamChatFunction", parameters),
            "PYTHONPATH": os.pathsep.join([str(function), str(layer / "python")]),
            **variables,
        },
        cwd=function,
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])
