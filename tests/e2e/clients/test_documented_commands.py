"""The commands and the Python of the documentation, run as they stand there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from local.aws.services import CALLERS_TABLE
from settings import Settings
from tests.support.clients.frontend import DEFAULT_MODEL
from tests.support.documentation import AWS, CALLER_KEY, RELAY, blocks, runnable_commands
from tests.support.project import PROJECT
from tests.support.runtime.local_stack import LocalStack
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer, completion

ANSWER = "Rayleigh scattering."
ASKED = [code for code in runnable_commands() if code.startswith(("curl -N http", "curl -N 'http"))]
(SIGNED,) = (code for code in runnable_commands() if code.startswith('curl -N "${FUNCTION_URL'))
(DOWNLOAD,) = (code for code in runnable_commands() if code.startswith("curl -O"))
(VERSION,) = (code for code in runnable_commands() if code.startswith("curl -sI"))
(MAKE_CALLER,) = (code for code in runnable_commands() if code.startswith("make caller"))
(MAKE_KEY,) = (code for code in blocks("sh") if code.startswith("SECRET="))
(DEPLOYED,) = (code for code in blocks("sh") if code.startswith("output() {") and "curl" in code)
(WATCH,) = (code for code in blocks("sh") if " aws sqs receive-message" in code)
SDK, SDK_WHOLE = (code for code in blocks("python") if "from openai import" in code)

AWS_VARIABLES = {
    "AWS_ACCESS_KEY_ID": "x",
    "AWS_SECRET_ACCESS_KEY": "x",
    "AWS_DEFAULT_REGION": "us-east-1",
}


def run(code: str, folder: Path, **variables: str) -> str:
    """What a block prints that bash runs in this folder."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "NO_PROXY": "*", **variables}
    command = ["bash", "-e", "-u", "-o", "pipefail", "-c", code]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def at(stack: LocalStack, code: str) -> str:
    """A block for this stack in place of that of `make run`."""
    return code.replace(RELAY, stack.url).replace(AWS, stack.endpoint)


@pytest.fixture
def answers(say: Callable[..., int]) -> None:
    say(Reply(answer(ANSWER)))


def test_no_command_is_forgotten() -> None:
    assert sorted([*ASKED, SIGNED, DOWNLOAD, VERSION, MAKE_CALLER]) == sorted(runnable_commands())


@pytest.mark.usefixtures("answers")
@pytest.mark.parametrize("code", ASKED, ids=lambda code: code.split("/", 3)[3].split()[0])
def test_curl_shows_the_answer(code: str, stack: LocalStack, tmp_path: Path) -> None:
    shown = run(at(stack, code), tmp_path)
    assert (ANSWER in shown) if "/v1/" in code else (shown == ANSWER)


@pytest.mark.usefixtures("answers")
def test_curl_with_a_key_shows_the_answer(keyed_relay: ServedRelay, tmp_path: Path) -> None:
    _, _, ask = DEPLOYED.partition("\n")
    ask = f'output() {{ echo "{keyed_relay.url}/"; }}\n{ask}'  # as CloudFormation has the URL
    assert run(ask, tmp_path, KEY=CALLER_KEY) == ANSWER
    assert "invalid_api_key" in run(ask, tmp_path, KEY="another")


@pytest.mark.usefixtures("answers")
def test_curl_with_a_signature_shows_the_answer(signed_relay: ServedRelay, tmp_path: Path) -> None:
    variables = {
        "FUNCTION_URL": f"{signed_relay.url}/",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_SESSION_TOKEN": "local",
    }
    assert run(SIGNED, tmp_path, **variables) == ANSWER


def test_curl_downloads_the_modules_and_their_types(stack: LocalStack, tmp_path: Path) -> None:
    run(at(stack, DOWNLOAD), tmp_path)
    names = {"stream.js", "stream.d.ts", "stream-hooks.js", "stream-hooks.d.ts"}
    assert {path.name for path in tmp_path.iterdir()} == names
    assert all("streamText" in (tmp_path / name).read_text("utf-8") for name in ("stream.js", "stream.d.ts"))


def test_curl_shows_the_version_with_which_a_module_is_kept_for_ever(
    stack: LocalStack, tmp_path: Path
) -> None:
    (version,) = re.findall(r'^etag: "(.+)"\r?$', run(at(stack, VERSION), tmp_path), re.MULTILINE)
    kept = run(f"{at(stack, VERSION).strip()}?v={version}", tmp_path)
    assert "cache-control: public, max-age=31536000, immutable" in kept


@pytest.mark.skipif(not shutil.which("openssl"), reason="no openssl on this machine: no key is made")
def test_the_key_that_is_made_is_one_for_the_parameter(tmp_path: Path) -> None:
    _, _, make_key = MAKE_KEY.partition("\n")
    (shown,) = run(f'{make_key}echo "$KEY web:$HASH"', tmp_path).splitlines()
    key, pair = shown.split()
    assert len(key) == 48
    settings = Settings.from_environment({"OPENAI_API_KEY": "k", "CALLER_KEYS": pair})
    assert settings.caller_keys == (("web", hashlib.sha256(key.encode()).hexdigest()),)


@pytest.mark.usefixtures("answers")
def test_a_caller_is_added_to_a_running_function_by_the_commands_that_make_caller_prints(
    replay: ReplayUpstream, tmp_path: Path
) -> None:
    if not has_aws_cli():
        pytest.skip("no AWS CLI on this machine: no caller is added with it")
    lines = run(MAKE_CALLER, PROJECT).splitlines()
    key = lines[lines.index("The key of web, which is stored nowhere. Give it to the caller:") + 1]
    (add,) = (line for line in lines if line.startswith("aws dynamodb put-item"))
    with LocalStack({"OPENAI_BASE_URL": replay.url, "AUTH_MODE": "keys"}) as stack:
        ask = f"curl -sS -N '{stack.url}/chatCompletion?message=hello' -H 'x-api-key: {key}'"
        table = re.sub(r'"\$\(aws cloudformation [^)]*\)"', CALLERS_TABLE, add)
        run(f"{table} --endpoint-url {stack.endpoint}", tmp_path, **AWS_VARIABLES)
        assert run(ask, tmp_path) == ANSWER
        assert "invalid_api_key" in run(ask.replace(key, "another"), tmp_path)


def has_aws_cli() -> bool:
    return not subprocess.run(["bash", "-c", "aws --version"], capture_output=True, check=False).returncode


def test_the_queue_of_the_local_stack_can_be_watched(stack: LocalStack, tmp_path: Path) -> None:
    if not has_aws_cli():
        pytest.skip("no AWS CLI on this machine: no queue is watched with it")
    run(at(stack, WATCH), tmp_path)


def test_the_output_of_make_run_has_the_lines_of_the_documentation(stack: LocalStack) -> None:
    (shown,) = (code for code in blocks("") if code.startswith("ready: "))
    end = next(number for number, line in enumerate(stack.output) if "lambda: " in line)
    labels = re.findall(r"^ *(\w+): ", "\n".join(stack.output[: end + 1]), re.MULTILINE)
    assert re.findall(r"^ *(\w+): ", shown, re.MULTILINE) == labels
    assert len(shown.splitlines()) == end + 1


def python(code: str, stack: LocalStack, variables: Mapping[str, str]) -> str:
    """What a block of Python prints that runs as a program."""
    command = [sys.executable, "-c", at(stack, code)]
    done = subprocess.run(
        command, env=dict(variables), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_openais_package_shows_a_streamed_answer(stack: LocalStack, say: Callable[..., int]) -> None:
    say(Reply(answer("Rayleigh ", "scattering.")))
    assert f'model="{DEFAULT_MODEL}"' in SDK
    assert python(SDK, stack, {"NO_PROXY": "*"}) == ANSWER


def test_openais_package_shows_the_whole_answer(stack: LocalStack, say: Callable[..., int]) -> None:
    say(Reply.json(completion(ANSWER)))
    assert python(SDK_WHOLE, stack, {"NO_PROXY": "*"}) == f"{ANSWER}\n"
