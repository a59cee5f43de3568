"""template.yaml keeps what the code and the platform rely on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from settings import SETTING_NAMES, Settings
from tests.support.sam import PROJECT, function_environment, load_template

TEMPLATE = load_template()
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
STREAM_CHAT = RESOURCES["StreamChatFunction"]["Properties"]
COMPANION = {
    "PublishTranscriptFunction",
    "PublishTranscriptRole",
    "PublishTranscriptLogs",
    "TranscriptQueue",
    "TranscriptDeadLetters",
    "UndeliveredTranscripts",
    "TranscriptBucket",
}


def references(value: Any) -> Iterator[str]:
    """The logical names that a piece of the template refers to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner.split(".")[0]
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def statements() -> Iterator[dict[str, Any]]:
    """Every IAM statement that a role of the template grants."""
    for role in (r for r in RESOURCES.values() if r["Type"] == "AWS::IAM::Role"):
        for policy in role["Properties"]["Policies"]:
            document = policy.get("Fn::If", [None, policy])[1]["PolicyDocument"]
            yield from document["Statement"]


def test_function_url_streams_and_is_literally_public_so_that_sam_writes_both_permissions() -> None:
    url = STREAM_CHAT["FunctionUrlConfig"]
    assert (url["AuthType"], url["InvokeMode"]) == ("NONE", "RESPONSE_STREAM")


def test_function_url_answers_preflights_itself_and_lets_callers_send_their_keys() -> None:
    cors = STREAM_CHAT["FunctionUrlConfig"]["Cors"]
    assert cors["AllowMethods"] == ["*"]
    assert {"authorization", "x-api-key", "content-type"} <= set(cors["AllowHeaders"])
    assert "AllowCredentials" not in cors


def test_rest_api_streams_every_path_for_as_long_as_an_answer_may_take() -> None:
    events = [event["Properties"] for event in STREAM_CHAT["Events"].values()]
    assert {event["Path"] for event in events} == {"/", "/{proxy+}"}
    for event in events:
        assert event["Method"] == "ANY"
        assert event["ResponseTransferMode"] == "RESPONSE_STREAM"
        assert event["TimeoutInMillis"] >= PARAMETERS["FunctionTimeoutS"]["MaxValue"] * 1000


def test_wrapper_is_the_file_that_the_layer_mounts() -> None:
    mounted = STREAM_CHAT["Environment"]["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"]
    layer = RESOURCES["SharedLayer"]
    assert layer["Metadata"]["BuildMethod"] == "python3.13"  # puts the folder's content under python/
    source = PROJECT / layer["Properties"]["ContentUri"] / mounted.removeprefix("/opt/python/")
    assert source.stat().st_mode & 0o111, "no run bit"


def test_streaming_function_is_given_exactly_the_variables_that_it_reads() -> None:
    given = set(STREAM_CHAT["Environment"]["Variables"])
    assert given - {"AWS_LAMBDA_EXEC_WRAPPER"} == SETTING_NAMES


def test_defaults_of_the_template_are_those_of_the_code() -> None:
    secret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:openai-AbCdEf"
    environment = function_environment(TEMPLATE, "StreamChatFunction", {"OpenAiApiKeySecretId": secret})
    settings = Settings.from_environment(environment)
    expected = Settings(openai_api_key_secret_id=secret, transcript_function_name="PublishTranscriptFunction")
    assert settings == expected


@pytest.mark.parametrize("level", PARAMETERS["LogLevel"]["AllowedValues"])
def test_every_log_level_is_understood_by_the_code_and_by_lambda(level: str) -> None:
    environment = function_environment(TEMPLATE, "StreamChatFunction", {"LogLevel": level})
    assert Settings.from_environment({**environment, "OPENAI_API_KEY": "k"}).log_level == level
    assert TEMPLATE["Mappings"]["LogLevels"][level]["Lambda"] in {"DEBUG", "INFO", "WARN", "ERROR"}


def test_no_companion_means_no_hand_off() -> None:
    environment = function_environment(TEMPLATE, "StreamChatFunction", {"PublishTranscripts": "false"})
    assert environment["TRANSCRIPT_FUNCTION_NAME"] == ""


def test_companion_and_all_it_needs_stand_under_one_condition() -> None:
    conditional = {name for name, resource in RESOURCES.items() if "Condition" in resource}
    assert conditional == COMPANION
    assert {RESOURCES[name]["Condition"] for name in COMPANION} == {"TranscriptsPublished"}


def test_nothing_outside_the_condition_needs_what_is_under_it() -> None:
    def unconditional(value: Any) -> Any:
        if isinstance(value, dict):
            if value.get("Fn::If", [None])[0] == "TranscriptsPublished":
                return None
            return {key: unconditional(inner) for key, inner in value.items()}
        return [unconditional(inner) for inner in value] if isinstance(value, list) else value

    pieces = [*RESOURCES.values(), *TEMPLATE["Outputs"].values()]
    always = [unconditional(piece) for piece in pieces if "Condition" not in piece]
    assert always
    assert not COMPANION & set(references(always))


def test_iam_names_each_resource_and_each_action() -> None:
    granted = list(statements())
    assert granted
    for statement in granted:
        actions, resources = statement["Action"], statement["Resource"]
        assert "*" not in json.dumps(actions)
        for resource in resources if isinstance(resources, list) else [resources]:
            assert set(resource) <= {"Fn::GetAtt", "Ref"}, f"{actions} on {resource}"


def test_every_function_has_a_narrow_role_and_its_own_log_group() -> None:
    # Without a Role, SAM writes one that may log to every group of the account.
    functions = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::Serverless::Function"]
    assert len({json.dumps(f["Role"]) for f in functions}) == len(functions)
    assert len({json.dumps(f["LoggingConfig"]["LogGroup"]) for f in functions}) == len(functions)


def test_undelivered_transcripts_can_be_written_by_the_function_that_failed() -> None:
    companion = RESOURCES["PublishTranscriptFunction"]["Properties"]
    destination = companion["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"]
    sends = [s for s in statements() if s["Action"] == "sqs:SendMessage"]
    assert destination in sends[0]["Resource"]


def test_dead_letters_outlive_the_queue_that_they_come_from() -> None:
    # A message keeps its age when it is moved: with an equal retention it could be deleted as it arrives.
    queue, letters = (RESOURCES[name]["Properties"] for name in ("TranscriptQueue", "TranscriptDeadLetters"))
    assert letters["MessageRetentionPeriod"] > queue["MessageRetentionPeriod"]


def test_queues_take_sqs_whole_mebibyte_and_encrypt_it() -> None:
    queues = [r["Properties"] for r in RESOURCES.values() if r["Type"] == "AWS::SQS::Queue"]
    assert {(q["MaximumMessageSize"], q["SqsManagedSseEnabled"]) for q in queues} == {(1024 * 1024, True)}


def test_bucket_is_private_encrypted_and_forgets() -> None:
    bucket = RESOURCES["TranscriptBucket"]["Properties"]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert bucket["BucketEncryption"]
    assert bucket["LifecycleConfiguration"]["Rules"][0]["Status"] == "Enabled"


@pytest.mark.parametrize("name", sorted(PARAMETERS))
def test_every_parameter_is_described_grouped_and_used(name: str) -> None:
    interface = TEMPLATE["Metadata"]["AWS::CloudFormation::Interface"]
    grouped = [parameter for group in interface["ParameterGroups"] for parameter in group["Parameters"]]
    assert len(PARAMETERS[name]["Description"]) > 20
    assert grouped.count(name) == 1
    assert name in set(references([TEMPLATE["Globals"], TEMPLATE["Resources"], TEMPLATE["Conditions"]]))


def test_hashes_of_caller_keys_are_not_shown() -> None:
    assert PARAMETERS["CallerKeys"]["NoEcho"] is True


@pytest.mark.parametrize("path", sorted((PROJECT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_events_are_json_and_name_a_function_url_a_rest_api_or_a_transcript(path: Any) -> None:
    event = json.loads(path.read_text(encoding="utf-8"))
    kinds = [event.get("version") == "2.0", "httpMethod" in event, "schema_version" in event]
    assert kinds.count(True) == 1
