"""template.yaml grants each function the permissions that it uses, and no others."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from local.template import load_template
from tests.support.aws.sam import consumers_queues, deployed, evaluate

TEMPLATE = load_template()
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
CONSUMERS_QUEUES = consumers_queues(TEMPLATE)
FUNCTIONS: dict[str, Any] = {
    name: resource["Properties"]
    for name, resource in RESOURCES.items()
    if resource["Type"] == "AWS::Serverless::Function"
}

LOG = {"logs:CreateLogStream", "logs:PutLogEvents"}
TAKE = {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"}
SEND = {"sqs:SendMessage"}
GRANTS: dict[str, dict[str, set[str]]] = {  # function → resource → actions; X/* are the objects of bucket X
    "StreamChatFunction": {
        "StreamChatLogs": LOG,
        "OpenAiApiKeySecretId": {"secretsmanager:GetSecretValue"},
        "any trace": {"xray:PutTraceSegments", "xray:PutTelemetryRecords"},  # only if Tracing is Active
        "CallersTable": {"dynamodb:Scan"},
        "PublishTranscriptFunction": {"lambda:InvokeFunction"},
        "TranscriptBucket/*": {"s3:PutObject"},
        "UndeliveredTranscripts": SEND,
        "LimitsTable": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
    },
    "PublishTranscriptFunction": {
        "PublishTranscriptLogs": LOG,
        **dict.fromkeys(CONSUMERS_QUEUES, SEND),
        "UndeliveredTranscripts": SEND,
        "TranscriptBucket/*": {"s3:GetObject", "s3:PutObject"},
        "DeliveryTable": {"dynamodb:GetItem", "dynamodb:UpdateItem"},
    },
    "RedriveTranscriptsFunction": {
        "RedriveTranscriptsLogs": LOG,
        "UndeliveredTranscripts": TAKE,
        "TranscriptBucket/*": {"s3:GetObject"},
        "PublishTranscriptFunction": {"lambda:InvokeFunction"},
        **dict.fromkeys(CONSUMERS_QUEUES.values(), TAKE),
        **dict.fromkeys(CONSUMERS_QUEUES, SEND),
    },
    "ArchiveTranscriptsFunction": {
        "ArchiveTranscriptsLogs": LOG,
        "ArchiveQueue": {"sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"},
        "TranscriptBucket/*": {"s3:GetObject"},
        "ArchiveBucket/*": {"s3:PutObject"},
    },
}


def statements(function: str) -> list[dict[str, Any]]:
    """The IAM statement of each policy of the function's role; every policy has exactly one."""
    role = RESOURCES[FUNCTIONS[function]["Role"]["Fn::GetAtt"].removesuffix(".Arn")]["Properties"]
    found = []
    for policy in role["Policies"]:
        document = policy.get("Fn::If", [None, policy])[1]["PolicyDocument"]
        (statement,) = document["Statement"]
        found.append(statement)
    return found


def resource_name(resource: Any) -> str:
    """The resource that a statement names, in the notation of GRANTS."""
    match resource:
        case "*":
            return "any trace"
        case {"Fn::If": ["KeySecretMade", {"Ref": "OpenAiKeySecret"}, {"Ref": str(name)}]}:
            return name
        case {"Ref": str(name)}:
            return name
        case {"Fn::GetAtt": str(attribute)}:
            return attribute.removesuffix(".Arn")
        case {"Fn::Sub": str(objects)} if found := re.fullmatch(r"\$\{(\w+)\.Arn\}/\*", objects):
            return f"{found[1]}/*"
    raise AssertionError(f"not the name of one resource: {resource}")


@pytest.mark.parametrize("function", FUNCTIONS)
def test_each_policy_names_one_resource_and_only_the_actions_in_use(function: str) -> None:
    granted = statements(function)
    resources = [resource_name(statement["Resource"]) for statement in granted]
    actions = [statement["Action"] for statement in granted]
    assert len(set(resources)) == len(resources), "two policies for one resource"
    allowed = [{action} if isinstance(action, str) else set(action) for action in actions]
    assert dict(zip(resources, allowed, strict=True)) == GRANTS[function]
    assert {statement["Effect"] for statement in granted} == {"Allow"}


@pytest.mark.parametrize(("tracing", "traced"), [("PassThrough", False), ("Active", True)])
def test_traces_are_written_only_if_they_are_asked_for(tracing: str, *, traced: bool) -> None:
    given = {"Tracing": tracing}
    mode = evaluate(TEMPLATE, RESOURCES["StreamChatFunction"]["Properties"]["Tracing"], given)
    role = deployed(TEMPLATE, "AWS::IAM::Role", given)["StreamChatRole"]
    assert mode == tracing
    assert ("trace" in {policy["PolicyName"] for policy in role["Policies"]}) is traced


def test_every_function_has_its_own_role_and_log_group() -> None:
    # Without a Role, SAM would generate one that may log to every log group of the account.
    functions = FUNCTIONS.values()
    assert len({json.dumps(f["Role"]) for f in functions}) == len(functions)
    assert len({json.dumps(f["LoggingConfig"]["LogGroup"]) for f in functions}) == len(functions)


def queue_policies() -> dict[str, list[dict[str, Any]]]:
    """The statements of each queue's own policy."""
    policies = (
        piece["Properties"] for piece in RESOURCES.values() if piece["Type"] == "AWS::SQS::QueuePolicy"
    )
    return {
        queue["Ref"]: policy["PolicyDocument"]["Statement"]
        for policy in policies
        for queue in policy["Queues"]
    }


@pytest.mark.parametrize("queue", CONSUMERS_QUEUES)
def test_only_their_own_queue_can_send_dead_letters(queue: str) -> None:
    name = evaluate(TEMPLATE, RESOURCES[queue]["Properties"]["QueueName"])
    letters = CONSUMERS_QUEUES[queue]
    assert evaluate(TEMPLATE, RESOURCES[letters]["Properties"]["RedriveAllowPolicy"]) == {
        "redrivePermission": "byQueue",
        "sourceQueueArns": [f"arn:AWS::Partition:sqs:AWS::Region:AWS::AccountId:{name}"],
    }
    [statement] = queue_policies()[letters]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "sqs:SendMessage",
    )
    assert statement["Resource"] == {"Fn::GetAtt": f"{letters}.Arn"}
    assert "Condition" not in statement


def test_only_the_streaming_function_and_the_companion_can_send_undelivered_transcripts() -> None:
    [statement] = queue_policies()["UndeliveredTranscripts"]
    assert (statement["Effect"], statement["Principal"], statement["Action"]) == (
        "Deny",
        "*",
        "sqs:SendMessage",
    )
    senders = [name for name, grants in GRANTS.items() if grants.get("UndeliveredTranscripts") == SEND]
    roles = [FUNCTIONS[name]["Role"] for name in senders]
    assert statement["Condition"] == {"ArnNotEquals": {"aws:PrincipalArn": roles}}


def test_named_queues_have_different_names_and_are_retained_when_replaced() -> None:
    queues = {n: piece for n, piece in RESOURCES.items() if piece["Properties"].get("QueueName")}
    assert set(queues) == set(CONSUMERS_QUEUES)
    names = [evaluate(TEMPLATE, piece["Properties"]["QueueName"]) for piece in queues.values()]
    assert len(set(names)) == len(names)
    assert {piece["UpdateReplacePolicy"] for piece in queues.values()} == {"Retain"}
