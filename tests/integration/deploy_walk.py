"""From an empty folder to a stack and back, by the commands of the documentation, in an emulated AWS.

`make deploy-walk` runs it. The commands are taken out of README.md and docs/; each test
says what it adds to one.

MiniStack applies SAM's transform, rules and conditions, creates, updates and deletes every resource, and runs
the functions that `sam build` has made. The walk tests nothing that MiniStack lacks:

- streaming: it calls the handler as the stock runtime does, so an answer is one document with its body;
- the function URL's name: `curl` is a script that asks for it below the emulator's own path;
- IAM: no policy is enforced, and a signature only has to be there;
- tokens: it runs the functions by a Python and on a processor that the JWT layer is not made for;
- ANY methods of the REST API, which its import leaves out;
- quotas and reserved concurrency, prices, and the resources of docs/custom-domains.md.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

from local.template import load_template
from tests.support.aws.emulated_account import EmulatedAccount, missing_tool
from tests.support.aws.sam import find_sam, sam_says
from tests.support.documentation import PAGES, blocks, tables
from tests.support.project import PROJECT
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer

pytestmark = [
    pytest.mark.timeout(1800),  # a dozen deployments, and the build downloads the layer's requirements
    pytest.mark.skipif(
        missing_tool() is not None, reason=f"no {missing_tool()}: `make deploy-walk` needs it"
    ),
]

ANSWER = "Rayleigh scattering."
STACK = "delta-relay"
QUESTIONS = [
    row[0].strip("`") for row in next(t for t in tables(PAGES["docs/deploy.md"]) if t[0][0] == "question")[2:]
]
PROMPT = re.compile(r"\x1b\[1m(?:Parameter )?([^\x1b]+)\x1b\[0m \[([^\]]*)\]: ")
JSON_LIMITS = '{"TOKENS_PER_DAY": 100000}'  # the page's own example


def block(beginning: str, containing: str = "") -> str:
    """The block of the documentation that begins with this text."""
    (code,) = (code for code in blocks("sh") if code.startswith(beginning) and containing in code)
    return code


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project in which `sam build` has run."""
    folder = tmp_path_factory.mktemp("clone") / "delta-relay"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (PROJECT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, folder / name)
    account = tmp_path_factory.mktemp("account")
    with EmulatedAccount(account) as aws:
        aws.run("sam build", folder)
    return folder


@pytest.fixture
def project(built: Path, tmp_path: Path) -> Path:
    """The clone, for one test."""
    return shutil.copytree(built, tmp_path / "project" / "delta-relay", symlinks=True)


@pytest.fixture
def aws(tmp_path: Path) -> Iterator[EmulatedAccount]:
    (tmp_path / "account").mkdir()
    with EmulatedAccount(tmp_path / "account") as account:
        yield account


@pytest.fixture
def upstream() -> Iterator[ReplayUpstream]:
    with ReplayUpstream() as model:
        model.answer("gpt-6-luna", Reply(answer(ANSWER)))
        yield model


def variables(aws: EmulatedAccount) -> dict[str, str]:
    """The streaming function's environment variables."""
    functions = aws.client("lambda")
    resources = aws.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    (name,) = (r["PhysicalResourceId"] for r in resources if r["LogicalResourceId"] == "StreamChatFunction")
    found: dict[str, str] = functions.get_function_configuration(FunctionName=name)["Environment"][
        "Variables"
    ]
    return found


def resource_types(aws: EmulatedAccount) -> list[str]:
    resources = aws.client("cloudformation").describe_stack_resources(StackName=STACK)["StackResources"]
    return [r["ResourceType"] for r in resources if r["ResourceStatus"] != "DELETE_COMPLETE"]


def asked(aws: EmulatedAccount, project: Path, path: str, key: str = "") -> dict[str, Any]:
    """The function URL's answer to a caller with this key."""
    shown = aws.run(f"curl -N \"$(output FunctionUrl){path}\" -H 'x-api-key: {key}'", project)
    document: dict[str, Any] = json.loads(shown)
    return document


def guided(aws: EmulatedAccount, project: Path, answers: dict[str, str]) -> list[tuple[str, str]]:
    """Run the page's guided deployment in a terminal. Returns each question with its default."""
    terminal = pexpect.spawn(
        "bash",
        ["-e", "-c", block("sam build && sam deploy --guided")],
        cwd=str(project),
        env=aws.environ,
        encoding="utf-8",
        timeout=600,
        dimensions=(50, 250),
    )
    questions: list[tuple[str, str]] = []
    while terminal.expect([PROMPT, pexpect.EOF]) == 0:
        question, default = terminal.match.group(1), terminal.match.group(2)  # type: ignore[union-attr]
        questions.append((question, default))
        assert len(questions) <= len(QUESTIONS), questions
        terminal.sendline(answers.get(question, ""))
    terminal.close()
    assert terminal.exitstatus == 0, terminal.before
    return questions


def add_caller(aws: EmulatedAccount, project: Path) -> str:
    """Run `make caller`, and the command that it prints. Returns the key."""
    lines = aws.run("make caller NAME=web", project).splitlines()
    aws.run(next(line for line in lines if line.startswith("aws dynamodb put-item")), project)
    return next(line for line in lines if re.fullmatch("[0-9a-f]{48}", line))


def test_enter_at_every_question_deploys_and_what_the_page_says_then_lets_a_caller_in(
    aws: EmulatedAccount, project: Path
) -> None:
    questions = guided(aws, project, {})
    assert [question for question, _ in questions] == QUESTIONS
    defaults = {name: str(declared["Default"]) for name, declared in load_template()["Parameters"].items()}
    assert {question: default for question, default in questions if question in defaults} == defaults
    aws.run(block("output() {", "make caller"), project)
    assert asked(aws, project, "health")["statusCode"] == 200
    assert asked(aws, project, "chatCompletion?message=hello")["statusCode"] == 401
    key = add_caller(aws, project)
    assert asked(aws, project, "chatCompletion", key)["statusCode"] == 400  # a known caller without a message
    secret = aws.client("secretsmanager").get_secret_value(
        SecretId=variables(aws)["OPENAI_API_KEY_SECRET_ID"]
    )
    assert secret["SecretString"] == aws.environ["OPENAI_API_KEY"]


def test_answers_of_the_page_deploy_and_are_there_again_at_the_next_time(
    aws: EmulatedAccount, project: Path
) -> None:
    answers = {"Settings": JSON_LIMITS, "ReservedConcurrency": "50", "ArchiveDays": "365"}
    assert JSON_LIMITS in PAGES["docs/deploy.md"]
    guided(aws, project, answers)
    assert variables(aws)["SETTINGS_JSON"] == JSON_LIMITS
    assert resource_types(aws).count("AWS::S3::Bucket") == 2
    sam = find_sam()
    assert sam is not None
    read = """
import json, sys, tomllib
from samcli.cli.types import CfnParameterOverridesType
saved = tomllib.load(open(sys.argv[1], "rb"))["default"]["deploy"]["parameters"]["parameter_overrides"]
print(json.dumps(CfnParameterOverridesType().convert(saved, None, None)))
"""
    saved = sam_says(sam, read, str(project / "samconfig.toml"))
    assert {name: saved[name] for name in answers} == answers


def test_the_first_deployment_answers_and_every_later_command_works(
    aws: EmulatedAccount, project: Path, upstream: ReplayUpstream
) -> None:
    aws.run(block("SECRET="), project)
    # Added: the address of a model that is there.
    deploy = block("sam build && sam deploy --parameter-overrides").rstrip()
    aws.run(f"{deploy} OpenAiBaseUrl={upstream.url}", project)
    shown = json.loads(aws.run(block("output() {", 'curl -N "$(output'), project))
    assert (shown["statusCode"], shown["body"]) == (200, ANSWER)
    assert upstream.exchanges("gpt-6-luna")[0].headers["authorization"] == "Bearer sk-of-the-walk"
    assert transcript(aws)["caller"] == "web"

    assert asked(aws, project, "chatCompletion?message=hello", add_caller(aws, project))["body"] == ANSWER
    assert '"status\\":\\"ok\\"' in aws.run(block('curl "$(output FunctionUrl)health"'), project)
    aws.run(block("aws secretsmanager put-secret-value"), project)

    aws.run(block("sam deploy --parameter-overrides ReservedConcurrency=50"), project)
    assert resource_types(aws).count("AWS::S3::Bucket") == 2
    aws.run("sam deploy --parameter-overrides PublishTranscripts=false ArchiveDays=0", project)
    assert resource_types(aws).count("AWS::S3::Bucket") == 0
    aws.run("sam deploy --parameter-overrides PublishTranscripts=true ArchiveDays=1", project)

    aws.run(block('sam deploy --parameter-overrides "Settings='), project)
    assert json.loads(variables(aws)["SETTINGS_JSON"])["TOKENS_PER_DAY"] == 100_000
    assert asked(aws, project, "chatCompletion?message=hello", add_caller(aws, project))["body"] == ANSWER

    aws.run(block("sam deploy --parameter-overrides AuthMode=jwt"), project)
    assert variables(aws)["AUTH_MODE"] == "jwt"
    assert resource_types(aws).count("AWS::Lambda::LayerVersion") == 2
    aws.run("sam deploy --parameter-overrides AuthMode=iam 'Settings=\"\"'", project)
    assert asked(aws, project, "chatCompletion?message=hello") == {"Message": "Forbidden"}  # the URL's own
    deploy = "sam deploy --parameter-overrides AuthMode=none"
    aws.run(f'{deploy} "Settings=\'{{\\"REQUESTS_PER_MINUTE\\": 1}}\'"', project)
    statuses = [asked(aws, project, "chatCompletion?message=hello")["statusCode"] for _ in range(3)]
    assert set(statuses) == {200, 429}, statuses

    aws.run(block("BUCKETS="), project)
    with pytest.raises(Exception, match="does not exist"):
        aws.client("cloudformation").describe_stacks(StackName=STACK)
    kept = {bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]}
    assert len({name for name in kept if name.startswith(STACK)}) >= 2
    aws.run(block("for bucket in"), project)
    left = {bucket["Name"] for bucket in aws.client("s3").list_buckets()["Buckets"]}
    assert len(kept - left) == 2


def transcript(aws: EmulatedAccount) -> dict[str, Any]:
    """The first transcript on the queue."""
    stack = aws.client("cloudformation").describe_stacks(StackName=STACK)["Stacks"][0]
    (url,) = (o["OutputValue"] for o in stack["Outputs"] if o["OutputKey"] == "TranscriptQueueUrl")
    queue = aws.client("sqs")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        received = queue.receive_message(QueueUrl=url, WaitTimeSeconds=5).get("Messages", [])
        if received:
            document: dict[str, Any] = json.loads(received[0]["Body"])
            return document
    raise AssertionError("no transcript")
