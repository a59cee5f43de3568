"""template.yaml meets what the code and the platform rely on."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from local.template import load_template
from redrive_settings import RedriveSettings
from settings import Settings
from tests.support.aws.sam import consumers_queues, evaluate, function_environment, queue_url
from tests.support.project import PROJECT
from transcript_routes import Route, parse_routes

TEMPLATE = load_template()
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
STREAM_CHAT = RESOURCES["StreamChatFunction"]["Properties"]
FUNCTIONS: dict[str, Any] = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}
QUEUES, BUCKETS = (
    {name: resource["Properties"] for name, resource in RESOURCES.items() if resource["Type"] == kind}
    for kind in ("AWS::SQS::Queue", "AWS::S3::Bucket")
)
ARCHIVED = {"ArchiveDays": "365"}
ALWAYS = {
    "SharedLayer", "StreamChatFunction", "StreamChatFunctionUrl", "StreamChatRole", "StreamChatLogs",
    "RestApi", "RestApiMayInvoke", "CallersTable", "LimitsTable",
}  # fmt: skip
OPTIONAL = {  # resource → its own condition
    "JwtLayerArm64": "JwtCallersOnArm64",
    "JwtLayerX86": "JwtCallersOnX86",
    "AnybodyMayCallUrl": "OpenUrl",
    "AnybodyMayInvokeByUrl": "OpenUrl",
    "ForeignCallerMayCallUrl": "ForeignCaller",
    "ForeignCallerMayInvokeByUrl": "ForeignCaller",
    "CallerPolicy": "IamCallers",
    "OpenAiKeySecret": "KeySecretMade",
    "ServerErrorsAlarm": "ServerErrorsWatched",
    "ThrottlesAlarm": "ThrottlesWatched",
    "FailedAnswersAlarm": "FailuresWatched",
    "FirstTokenAlarm": "FirstTokenWatched",
    "TranscriptQueueAgeAlarm": "ConsumerWatched",
    "RelayDashboard": "DashboardMade",
    "OneAnswerQuery": "DashboardMade",
    "SlowestAnswersQuery": "DashboardMade",
    "SpendingQuery": "DashboardMade",
    "RefusalsQuery": "DashboardMade",
}
IMPLIED_BY = {  # condition → the conditions that hold only if it holds
    "TranscriptsPublished": {"TranscriptsPublished", "TranscriptsArchived", "ConsumerWatched"},
    "TranscriptsArchived": {"TranscriptsArchived"},
    **{condition: {condition} for condition in OPTIONAL.values()},
}

REDRIVEN = consumers_queues(TEMPLATE)
COMPANION = FUNCTIONS["PublishTranscriptFunction"]
UNDELIVERED = COMPANION["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"][
    "Fn::GetAtt"
].removesuffix(".Arn")
DEAD_LETTERS = {UNDELIVERED, *REDRIVEN.values()}
CONSUMED = sorted(set(QUEUES) - DEAD_LETTERS)


def references(value: Any) -> Iterator[str]:
    """The logical names that a piece of the template refers to."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "Ref":
                yield inner
            elif key == "Fn::GetAtt":
                yield inner.split(".")[0]
            elif key == "Fn::Sub":
                text, own = (inner, {}) if isinstance(inner, str) else inner
                yield from set(re.findall(r"\$\{([^.}]+)", text)) - own.keys()
                yield from references(own)
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def without(value: Any, conditions: set[str]) -> Any:
    """A piece of the template as it is if none of the conditions holds."""
    match value:
        case {"Fn::If": [condition, _, otherwise]} if condition in conditions:
            return without(otherwise, conditions)
        case dict():
            return {key: without(inner, conditions) for key, inner in value.items()}
        case list():
            return [without(inner, conditions) for inner in value]
    return value


def test_function_url_streams() -> None:
    assert RESOURCES["StreamChatFunctionUrl"]["Properties"]["InvokeMode"] == "RESPONSE_STREAM"


def test_rest_api_streams_every_path_for_as_long_as_an_answer_may_take() -> None:
    paths = RESOURCES["RestApi"]["Properties"]["DefinitionBody"]["paths"]
    assert set(paths) == {"/", "/{proxy+}"}
    for methods in paths.values():
        ((method, operation),) = methods.items()
        integration = operation["x-amazon-apigateway-integration"]
        assert method == "x-amazon-apigateway-any-method"
        assert integration["responseTransferMode"] == "STREAM"
        assert integration["timeoutInMillis"] >= PARAMETERS["FunctionTimeoutS"]["MaxValue"] * 1000
        assert integration["uri"]["Fn::Sub"].endswith(
            "/2021-11-15/functions/${StreamChatFunction.Arn}/response-streaming-invocations"
        )


def test_exec_wrapper_is_an_executable_file_of_the_layer() -> None:
    mounted = STREAM_CHAT["Environment"]["Variables"]["AWS_LAMBDA_EXEC_WRAPPER"]
    layer = RESOURCES["SharedLayer"]
    assert layer["Metadata"]["BuildMethod"] == "makefile"  # the target puts the folder's content into python/
    source = PROJECT / layer["Properties"]["ContentUri"] / mounted.removeprefix("/opt/python/")
    assert source.stat().st_mode & 0o111, "not executable"


def test_template_and_code_have_the_same_defaults() -> None:
    secret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:openai-AbCdEf"
    environment = function_environment(TEMPLATE, "StreamChatFunction", {"OpenAiApiKeySecretId": secret})
    settings = Settings.from_environment(environment)
    assert vars(settings) == vars(
        Settings(
            openai_api_key_secret_id=secret,
            callers_table_name="CallersTable",
            limits_table_name="LimitsTable",
            transcript_function_name="PublishTranscriptFunction",
            transcript_bucket="TranscriptBucket",
            transcript_dead_letter_queue_url=queue_url("UndeliveredTranscripts"),
        )
    )


@pytest.mark.parametrize("level", PARAMETERS["LogLevel"]["AllowedValues"])
def test_code_and_lambda_know_every_log_level(level: str) -> None:
    environment = function_environment(TEMPLATE, "StreamChatFunction", {"LogLevel": level})
    assert Settings.from_environment(environment).log_level == level
    assert TEMPLATE["Mappings"]["LogLevels"][level]["Lambda"] in {"DEBUG", "INFO", "WARN", "ERROR"}


def test_without_a_companion_nothing_is_handed_off() -> None:
    environment = function_environment(TEMPLATE, "StreamChatFunction", {"PublishTranscripts": "false"})
    places = ("TRANSCRIPT_FUNCTION_NAME", "TRANSCRIPT_BUCKET", "TRANSCRIPT_DEAD_LETTER_QUEUE_URL")
    assert {environment[place] for place in places} == {""}


def test_every_resource_of_companion_and_archive_has_their_condition() -> None:
    conditional = {name: resource.get("Condition") for name, resource in RESOURCES.items()}
    assert conditional == {
        name: None
        if name in ALWAYS
        else OPTIONAL[name]
        if name in OPTIONAL
        else "TranscriptsArchived"
        if name.startswith("Archive")
        else "TranscriptsPublished"
        for name in RESOURCES
    }


@pytest.mark.parametrize("condition", IMPLIED_BY)
def test_nothing_outside_a_condition_refers_to_what_is_under_it(condition: str) -> None:
    conditions = IMPLIED_BY[condition]
    under = {name for name, resource in RESOURCES.items() if resource.get("Condition") in conditions}
    pieces = [*RESOURCES.values(), *TEMPLATE["Outputs"].values()]
    outside = [without(piece, conditions) for piece in pieces if piece.get("Condition") not in conditions]
    assert under
    assert outside
    assert not under & set(references(outside))


def test_archive_without_transcripts_is_rejected_before_any_resource_is_created() -> None:
    rule = TEMPLATE["Rules"]["ArchiveNeedsTranscripts"]
    assert evaluate(TEMPLATE, rule["RuleCondition"], ARCHIVED)
    assert evaluate(TEMPLATE, rule["Assertions"][0]["Assert"], ARCHIVED)
    apart = {**ARCHIVED, "PublishTranscripts": "false"}
    assert not evaluate(TEMPLATE, rule["Assertions"][0]["Assert"], apart)
    assert not evaluate(TEMPLATE, {"Condition": "TranscriptsArchived"}, apart)


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_handler_exists_in_its_functions_folder(function: str) -> None:
    module, _ = FUNCTIONS[function]["Handler"].split(".")
    assert (PROJECT / FUNCTIONS[function]["CodeUri"] / f"{module}.py").is_file()


def existing(names: Iterable[str], parameters: dict[str, str]) -> list[str]:
    """Those of the resources that are deployed under these parameters."""
    return [n for n in names if evaluate(TEMPLATE, {"Condition": RESOURCES[n]["Condition"]}, parameters)]


@pytest.mark.parametrize("parameters", [{}, ARCHIVED], ids=["not archived", "archived"])
def test_every_consumers_queue_has_a_route(parameters: dict[str, str]) -> None:
    environment = function_environment(TEMPLATE, "PublishTranscriptFunction", parameters)
    routes = parse_routes(environment["TRANSCRIPT_ROUTES"])
    assert {route.queue_url for route in routes} == set(map(queue_url, existing(CONSUMED, parameters)))
    # The template's own queues get every transcript.
    assert {Route(queue_url(name)) for name in existing(["TranscriptQueue", "ArchiveQueue"], parameters)} <= {
        *routes
    }


@pytest.mark.parametrize("parameters", [{}, ARCHIVED], ids=["not archived", "archived"])
def test_redrive_knows_the_source_of_every_dead_letter_queue(parameters: dict[str, str]) -> None:
    environment = function_environment(TEMPLATE, "RedriveTranscriptsFunction", parameters)
    settings = RedriveSettings.of(environment)
    assert settings.undelivered_queue_url == queue_url(UNDELIVERED)
    there = existing(REDRIVEN, parameters)
    assert ("ArchiveQueue" in there) is (parameters == ARCHIVED)
    ways_back = {queue_url(REDRIVEN[name]): queue_url(name) for name in there}
    assert settings.dead_letter_queues == ways_back


def test_redrive_has_no_trigger() -> None:
    assert not {"Events", "FunctionUrlConfig"} & set(FUNCTIONS["RedriveTranscriptsFunction"])


@pytest.mark.parametrize("name", CONSUMED)
def test_dead_letters_of_every_consumers_queue_are_kept_longer(name: str) -> None:
    # A moved message keeps its age: with equal periods it could be deleted on arrival.
    letters = QUEUES[REDRIVEN[name]]
    assert letters["MessageRetentionPeriod"] > QUEUES[name]["MessageRetentionPeriod"]
    assert QUEUES[name]["RedrivePolicy"]["maxReceiveCount"] >= 5


def test_queues_take_messages_of_one_mebibyte_and_are_encrypted() -> None:
    queues = QUEUES.values()
    assert {(q["MaximumMessageSize"], q["SqsManagedSseEnabled"]) for q in queues} == {(1024 * 1024, True)}


def test_undelivered_transcripts_can_be_no_queues_dead_letter_queue() -> None:
    assert QUEUES[UNDELIVERED]["RedriveAllowPolicy"] == {"redrivePermission": "denyAll"}


def test_failed_or_throttled_batch_is_received_again_only_after_its_last_attempt() -> None:
    # https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    triggers = [
        (function, event["Properties"])
        for function in FUNCTIONS.values()
        for event in function.get("Events", {}).values()
        if event["Type"] == "SQS"
    ]
    assert triggers
    for function, trigger in triggers:
        queue = QUEUES[trigger["Queue"]["Fn::GetAtt"].removesuffix(".Arn")]
        window_s = trigger["MaximumBatchingWindowInSeconds"]
        assert queue["VisibilityTimeout"] >= 6 * function["Timeout"] + window_s
        assert trigger["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_is_private_encrypted_and_kept_when_the_stack_is_deleted(name: str) -> None:
    bucket = BUCKETS[name]
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert bucket["OwnershipControls"] == {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    kept = (RESOURCES[name]["DeletionPolicy"], RESOURCES[name]["UpdateReplacePolicy"])
    assert kept == ("RetainExceptOnCreate", "Retain")


@pytest.mark.parametrize("name", BUCKETS)
def test_every_bucket_denies_plain_http(name: str) -> None:
    policy = RESOURCES[f"{name}Policy"]["Properties"]
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert policy["Bucket"] == {"Ref": name}
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == ("Deny", "*", "s3:*")
    assert statement["Resource"] == [{"Fn::GetAtt": f"{name}.Arn"}, {"Fn::Sub": f"${{{name}.Arn}}/*"}]
    assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


@pytest.mark.parametrize("name", BUCKETS)
def test_every_buckets_objects_expire(name: str) -> None:
    (rule,) = BUCKETS[name]["LifecycleConfiguration"]["Rules"]
    assert rule["Status"] == "Enabled"
    assert int(evaluate(TEMPLATE, rule["ExpirationInDays"], ARCHIVED)) >= 30


def test_stored_transcript_outlives_its_pointer_even_after_one_redrive() -> None:
    # A dead letter keeps the age of its message; a redrive sends the message anew.
    longest_s = max(queue["MessageRetentionPeriod"] for queue in QUEUES.values())
    (rule,) = BUCKETS["TranscriptBucket"]["LifecycleConfiguration"]["Rules"]
    assert rule["ExpirationInDays"] * 24 * 3600 > 2 * longest_s


def test_table_of_callers_is_billed_by_request_and_can_be_restored() -> None:
    assert RESOURCES["CallersTable"]["Properties"] == {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "sha256", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "sha256", "KeyType": "HASH"}],
        "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True},
    }


@pytest.mark.parametrize("name", ["DeliveryTable", "LimitsTable"])
def test_tables_have_an_id_are_billed_by_request_and_expire_their_items(name: str) -> None:
    table = RESOURCES[name]
    assert table["DeletionPolicy"] == "Delete"
    assert table["Properties"] == {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
        "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
        "TimeToLiveSpecification": {"AttributeName": "expires_at", "Enabled": True},
    }


@pytest.mark.parametrize("path", sorted((PROJECT / "events").glob("*.json")), ids=lambda path: path.stem)
def test_every_event_is_of_exactly_one_kind_that_a_function_takes(path: Any) -> None:
    event = json.loads(path.read_text(encoding="utf-8"))
    is_redrive = event == {} or set(event) == {"queues"}
    kinds = [
        event.get("version") == "2.0",
        "httpMethod" in event,
        "schema_version" in event,
        "Records" in event,
    ]
    assert [*kinds, is_redrive].count(True) == 1
