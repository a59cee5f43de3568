"""template.yaml configures each AuthMode completely, and the limits of callers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from local.template import load_template
from settings import Settings
from tests.support.aws.sam import deployed, evaluate, function_environment
from tests.support.project import PROJECT

TEMPLATE = load_template()
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
STREAM_CHAT = RESOURCES["StreamChatFunction"]["Properties"]
URL = RESOURCES["StreamChatFunctionUrl"]["Properties"]
ALLOWED_HEADERS: list[str] = URL["Cors"]["AllowHeaders"]
MODES: list[str] = PARAMETERS["AuthMode"]["AllowedValues"]
ROLE = "arn:aws:iam::210987654321:role/chat"
TOKENS = {
    "AuthMode": "jwt",
    "Settings": '{"JWT_ISSUER": "https://issuer.example.com", "JWT_AUDIENCES": "chat"}',
}


def settings(parameters: dict[str, str]) -> Settings:
    """What the streaming function makes of these parameters."""
    environment = function_environment(TEMPLATE, "StreamChatFunction", parameters)
    return Settings.from_environment({**environment, "OPENAI_API_KEY_SECRET_ID": "arn"})


def accepts(parameter: str, value: str) -> bool:
    return re.search(PARAMETERS[parameter]["AllowedPattern"], value) is not None


def test_keys_are_required_by_default() -> None:
    assert (PARAMETERS["AuthMode"]["Default"], PARAMETERS["CallerKeys"]["Default"]) == ("keys", "")


@pytest.mark.parametrize("mode", MODES)
def test_code_knows_every_auth_mode(mode: str) -> None:
    tokens = TOKENS if mode == "jwt" else {}
    assert settings({**tokens, "AuthMode": mode}).auth_mode == mode


@pytest.mark.parametrize("mode", MODES)
def test_settings_without_effect_in_the_auth_mode_are_rejected_before_any_resource_is_created(
    mode: str,
) -> None:
    keys = {**TOKENS, "AuthMode": mode, "CallerKeys": f"web:{'0' * 64}"}
    assert is_taken(keys) is (mode == "keys")
    assert is_taken({**TOKENS, "AuthMode": mode})


def is_taken(parameters: dict[str, str]) -> bool:
    """Whether the rules about callers accept these parameters."""
    return all(
        evaluate(TEMPLATE, assertion["Assert"], parameters)
        for name in ("KeysNeedTheirMode", "TokensNeedAnIssuer")
        if evaluate(TEMPLATE, TEMPLATE["Rules"][name]["RuleCondition"], parameters)
        for assertion in TEMPLATE["Rules"][name]["Assertions"]
    )


@pytest.mark.parametrize(
    ("principal", "taken"),
    [
        ("", True),
        ("210987654321", True),
        (ROLE, True),
        ("arn:aws-cn:iam::210987654321:user/team/ci", True),
        ("arn:aws:iam::210987654321:root", True),
        ("*", False),
        ("21098765432", False),
        ("lambda.amazonaws.com", False),
        ("arn:aws:iam::*:role/chat", False),
        ("arn:aws:sts::210987654321:assumed-role/chat/session", False),
    ],
)
def test_foreign_principal_is_one_account_role_or_user(principal: str, taken: bool) -> None:
    assert accepts("IamPrincipal", principal) is taken


def test_policy_for_callers_allows_calls_through_the_url_and_the_api_only() -> None:
    assert [
        name for mode in MODES for name in deployed(TEMPLATE, "AWS::IAM::ManagedPolicy", {"AuthMode": mode})
    ] == ["CallerPolicy"]
    policy = deployed(TEMPLATE, "AWS::IAM::ManagedPolicy", {"AuthMode": "iam"})["CallerPolicy"]
    function = {"Effect": "Allow", "Resource": "StreamChatFunction.Arn"}
    api = "arn:AWS::Partition:execute-api:AWS::Region:AWS::AccountId:RestApi/live/*"
    assert policy["PolicyDocument"]["Statement"] == [
        {
            **function,
            "Action": "lambda:InvokeFunctionUrl",
            "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}},
        },
        {
            **function,
            "Action": "lambda:InvokeFunction",
            "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}},
        },
        {"Effect": "Allow", "Resource": api, "Action": "execute-api:Invoke"},
    ]
    assert TEMPLATE["Outputs"]["CallerPolicyArn"] == {
        "Description": TEMPLATE["Outputs"]["CallerPolicyArn"]["Description"],
        "Condition": "IamCallers",
        "Value": {"Ref": "CallerPolicy"},
    }


@pytest.mark.parametrize("mode", MODES)
def test_rest_api_requires_a_signature_exactly_if_the_url_does(mode: str) -> None:
    api = RESOURCES["RestApi"]["Properties"]
    wanted: list[dict[str, list[str]]] = [{"AWS_IAM": []}] if mode == "iam" else []
    for methods in api["DefinitionBody"]["paths"].values():
        for operation in methods.values():
            assert evaluate(TEMPLATE, operation["security"], {"AuthMode": mode}) == wanted
    scheme = api["DefinitionBody"]["components"]["securitySchemes"]["AWS_IAM"]
    assert scheme["x-amazon-apigateway-authtype"] == "awsSigv4"
    # Without it, SAM would not redeploy the stage when only AuthMode changes.
    assert api["AlwaysDeploy"] is True


def test_tokens_without_any_settings_are_rejected_before_any_resource_is_created() -> None:
    assert is_taken(TOKENS)
    assert not is_taken({**TOKENS, "Settings": ""})


@pytest.mark.parametrize(("architecture", "layer"), [("arm64", "JwtLayerArm64"), ("x86_64", "JwtLayerX86")])
def test_layer_of_the_token_library_has_the_architecture_and_is_used_for_tokens_only(
    architecture: str, layer: str
) -> None:
    for mode in MODES:
        parameters = {**TOKENS, "AuthMode": mode, "Architecture": architecture}
        there = deployed(TEMPLATE, "AWS::Serverless::LayerVersion", parameters)
        attached = evaluate(TEMPLATE, STREAM_CHAT["Layers"], parameters)
        assert attached == (["SharedLayer", layer] if mode == "jwt" else ["SharedLayer"])
        assert set(attached) == set(there)
    metadata, properties = RESOURCES[layer]["Metadata"], RESOURCES[layer]["Properties"]
    assert (metadata["BuildMethod"], metadata["BuildArchitecture"]) == ("makefile", architecture)
    assert properties["CompatibleArchitectures"] == [architecture]
    assert (PROJECT / properties["ContentUri"] / "requirements.txt").is_file()


def test_tables_of_callers_and_limits_are_always_there_and_the_code_knows_them() -> None:
    assert {"CallersTable", "LimitsTable"} <= set(deployed(TEMPLATE, "AWS::DynamoDB::Table"))
    made = settings({})
    assert (made.callers_table_name, made.limits_table_name) == ("CallersTable", "LimitsTable")
    assert not made.keeps_limits


def test_settings_reach_the_code() -> None:
    limits = {"TOKENS_PER_DAY": 100_000, "CALLER_LIMITS": {"web": {"requests_per_minute": 5}}}
    made = settings({"Settings": json.dumps({**limits, "PLAYGROUND": True, "ALLOWED_FIELDS": ["top_k"]})})
    assert (made.tokens_per_day, made.for_caller("web").requests_per_minute) == (100_000, 5)
    assert (made.playground, made.allowed_fields) == (True, ("top_k",))


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("", True),
        ("{}", True),
        ('{"IDLE_TIMEOUT_S":\n 90}', True),
        ("IDLE_TIMEOUT_S=90", False),
        ("[]", False),
    ],
)
def test_settings_are_a_json_object(text: str, taken: bool) -> None:
    assert accepts("Settings", text) is taken


@pytest.mark.parametrize("url", ["https://api.openai.com/v1", "https://api.openai.com"])
def test_without_a_secret_for_openai_the_stack_makes_one_to_fill(url: str) -> None:
    own = {"OpenAiBaseUrl": url}
    (secret,) = deployed(TEMPLATE, "AWS::SecretsManager::Secret", own).values()
    assert not {"SecretString", "GenerateSecretString"} & set(secret), "a deployment would overwrite the key"
    assert settings_of_key(own) == "OpenAiKeySecret"
    assert settings_of_key({**own, "OpenAiApiKeySecretId": "arn:own"}) == "arn:own"
    assert not deployed(TEMPLATE, "AWS::SecretsManager::Secret", {**own, "OpenAiApiKeySecretId": "arn:own"})


def test_another_upstream_without_a_secret_is_asked_without_a_key() -> None:
    other = {"OpenAiBaseUrl": "https://llm.example.com/v1"}
    assert settings_of_key(other) == ""
    assert not deployed(TEMPLATE, "AWS::SecretsManager::Secret", other)


def settings_of_key(parameters: dict[str, str]) -> str:
    """The secret that the code reads."""
    environment = function_environment(TEMPLATE, "StreamChatFunction", parameters)
    return Settings.from_environment(environment).openai_api_key_secret_id


def test_thirty_caller_keys_fit_into_lambdas_environment_variables() -> None:
    # 4 KB in all, names and values: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    pairs = ",".join(f"caller-{number:02}:{number:064x}" for number in range(30))
    secret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:openai-AbCdEf"
    parameters = {"CallerKeys": pairs, "OpenAiApiKeySecretId": secret}
    environment = function_environment(TEMPLATE, "StreamChatFunction", parameters)
    stack_names = 5 * 40  # tables, bucket, function and queue: the stack's name and a suffix
    assert sum(len(name) + len(value) for name, value in environment.items()) + stack_names < 4096


def test_concurrency_is_reserved_only_on_request_because_a_new_account_has_none_to_spare() -> None:
    reserved = STREAM_CHAT["ReservedConcurrentExecutions"]
    assert evaluate(TEMPLATE, reserved) is None
    assert evaluate(TEMPLATE, reserved, {"ReservedConcurrency": "50"}) == "50"


def test_function_urls_cors_allows_headers_with_keys_tokens_and_signatures_but_no_cookies() -> None:
    cors = URL["Cors"]
    assert cors["AllowMethods"] == ["*"]
    signature = {"authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
    assert {"x-api-key", "content-type", *signature} <= set(ALLOWED_HEADERS)
    assert cors["AllowOrigins"] == {"Ref": "AllowedOrigins"}
    assert "AllowCredentials" not in cors


@pytest.mark.parametrize(
    "names",
    [
        "traceparent tracestate baggage b3 x-b3-traceid x-b3-spanid x-b3-parentspanid x-b3-sampled",
        "sentry-trace newrelic elastic-apm-traceparent uber-trace-id x-amzn-trace-id",
        "x-datadog-trace-id x-datadog-parent-id x-datadog-origin x-datadog-sampling-priority x-datadog-tags",
        "x-client-request-id openai-beta idempotency-key http-referer x-title x-requested-with",
        "*",  # a wildcard in browsers, because the URL takes no cookies
    ],
)
def test_headers_of_sdks_and_tracing_are_allowed_by_name(names: str) -> None:
    assert set(names.split()) <= set(ALLOWED_HEADERS)


def test_allowed_headers_keep_the_limits_of_lambda() -> None:
    assert len(set(ALLOWED_HEADERS)) == len(ALLOWED_HEADERS) <= 100
    assert [name for name in ALLOWED_HEADERS if name != name.strip().lower()] == []


def test_cors_is_configured_only_at_the_function_url() -> None:
    assert json.dumps(RESOURCES).lower().count("allow-origin") == 0
    assert [name for name, piece in RESOURCES.items() if "Cors" in piece["Properties"]] == [
        "StreamChatFunctionUrl"
    ]
