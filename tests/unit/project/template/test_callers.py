"""template.yaml configures each AuthMode completely, and the limits of callers."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from local.template import load_template
from settings import JWT_ALGORITHMS, Settings
from tests.support.aws.sam import deployed, evaluate, function_environment
from tests.support.project import PROJECT

TEMPLATE = load_template()
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]
PARAMETERS: dict[str, Any] = TEMPLATE["Parameters"]
STREAM_CHAT = RESOURCES["StreamChatFunction"]["Properties"]
ALLOWED_HEADERS = PARAMETERS["AllowedHeaders"]["Default"].split(",")
MODES: list[str] = PARAMETERS["AuthMode"]["AllowedValues"]
OPEN_MODES = [mode for mode in MODES if mode != "iam"]
ROLE = "arn:aws:iam::210987654321:role/chat"
TOKENS = {"AuthMode": "jwt", "JwtIssuer": "https://issuer.example.com", "JwtAudiences": "chat"}
LIMITS = [{"RequestsPerMinute": "60"}, {"TokensPerDay": "1000"}, {"CallerLimits": '{"web": {}}'}]


def settings(parameters: dict[str, str]) -> Settings:
    """What the streaming function makes of these parameters."""
    environment = function_environment(TEMPLATE, "StreamChatFunction", parameters)
    return Settings.from_environment({**environment, "OPENAI_API_KEY": "k"})


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
    keys = {"AuthMode": mode, "CallerKeys": f"web:{'0' * 64}"}
    assert is_taken(keys) is (mode == "keys")
    for name in ("JwtIssuer", "JwtAudiences", "JwtJwksUrl"):
        tokens = {"AuthMode": mode, "JwtIssuer": "", "JwtAudiences": "", name: "x"}
        if mode != "jwt":
            assert is_taken(tokens) is (mode != "none")
    assert is_taken({**TOKENS, "AuthMode": mode}) is (mode != "none")


def is_taken(parameters: dict[str, str]) -> bool:
    """Whether the rules about callers accept these parameters."""
    return all(
        evaluate(TEMPLATE, assertion["Assert"], parameters)
        for name in ("KeysNeedTheirMode", "TokensNeedTheirMode", "TokensNeedAnIssuer")
        if evaluate(TEMPLATE, TEMPLATE["Rules"][name]["RuleCondition"], parameters)
        for assertion in TEMPLATE["Rules"][name]["Assertions"]
    )


@pytest.mark.parametrize("mode", OPEN_MODES)
def test_url_that_the_function_guards_has_both_open_permissions_and_no_others(mode: str) -> None:
    url = evaluate(TEMPLATE, STREAM_CHAT["FunctionUrlConfig"]["AuthType"], {"AuthMode": mode})
    assert url == "NONE"
    assert url_permissions({"AuthMode": mode, "IamPrincipal": ROLE}) == [
        {"Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE"},
        {"Action": "lambda:InvokeFunction", "Principal": "*", "InvokedViaFunctionUrl": True},
    ]


def test_url_with_iam_allows_no_caller_by_default() -> None:
    assert evaluate(TEMPLATE, STREAM_CHAT["FunctionUrlConfig"]["AuthType"], {"AuthMode": "iam"}) == "AWS_IAM"
    assert url_permissions({"AuthMode": "iam"}) == []


def test_principal_of_another_account_gets_both_permissions_and_no_others() -> None:
    assert url_permissions({"AuthMode": "iam", "IamPrincipal": ROLE}) == [
        {"Action": "lambda:InvokeFunctionUrl", "Principal": ROLE, "FunctionUrlAuthType": "AWS_IAM"},
        {"Action": "lambda:InvokeFunction", "Principal": ROLE, "InvokedViaFunctionUrl": True},
    ]


def url_permissions(parameters: dict[str, str]) -> list[dict[str, Any]]:
    """The streaming function's permissions in the template, without the function's name."""
    permissions = deployed(TEMPLATE, "AWS::Lambda::Permission", parameters).values()
    assert all(permission.pop("FunctionName") == "StreamChatFunction" for permission in permissions)
    return list(permissions)


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


@pytest.mark.parametrize("missing", ["JwtIssuer", "JwtAudiences"])
def test_tokens_without_issuer_or_audience_are_rejected_before_any_resource_is_created(missing: str) -> None:
    rule = TEMPLATE["Rules"]["TokensNeedAnIssuer"]
    asserted = [assertion["Assert"] for assertion in rule["Assertions"]]
    assert evaluate(TEMPLATE, rule["RuleCondition"], TOKENS)
    assert evaluate(TEMPLATE, asserted, TOKENS) == [True, True]
    assert sorted(evaluate(TEMPLATE, asserted, {**TOKENS, missing: ""})) == [False, True]
    assert not any(evaluate(TEMPLATE, rule["RuleCondition"], {"AuthMode": mode}) for mode in ("keys", "iam"))


@pytest.mark.parametrize("claim", PARAMETERS["JwtAudienceClaim"]["AllowedValues"])
def test_code_knows_every_audience_claim(claim: str) -> None:
    assert settings({**TOKENS, "JwtAudienceClaim": claim}).jwt_audience_claim == claim


def test_only_algorithms_with_a_private_key_are_accepted() -> None:
    assert accepts("JwtAlgorithms", ",".join(JWT_ALGORITHMS))
    assert not any(accepts("JwtAlgorithms", name) for name in ("none", "HS256", "RS256,HS256", "RS256,", ""))


@pytest.mark.parametrize("parameter", ["JwtIssuer", "JwtJwksUrl"])
def test_issuer_and_its_keys_need_https(parameter: str) -> None:
    assert all(accepts(parameter, url) for url in ("", "https://a.example.com/", "https://a.example.com/x/y"))
    refused = ("http://a.example.com", "https://", "https://me@a.example.com", "https://a.example.com#x")
    assert not any(accepts(parameter, url) for url in refused)
    assert accepts(parameter, "https://a.example.com/keys?p=policy") is (parameter == "JwtJwksUrl")


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


def test_without_limits_there_is_no_table() -> None:
    assert "LimitsTable" not in deployed(TEMPLATE, "AWS::DynamoDB::Table")
    assert settings({}).limits_table_name == ""


@pytest.mark.parametrize("limit", LIMITS, ids=lambda limit: next(iter(limit)))
def test_any_counted_limit_creates_the_table_and_the_permission_to_count(
    limit: dict[str, str],
) -> None:
    assert "LimitsTable" in deployed(TEMPLATE, "AWS::DynamoDB::Table", limit)
    assert settings(limit).limits_table_name == "LimitsTable"
    roles = [deployed(TEMPLATE, "AWS::IAM::Role", given)["StreamChatRole"] for given in (limit, {})]
    names = [{policy["PolicyName"] for policy in role["Policies"]} for role in roles]
    assert names[0] - names[1] == {"count-callers-use"}


@pytest.mark.parametrize("parameter", ["MaxOutputTokens", "RequestsPerMinute", "TokensPerDay"])
def test_code_accepts_the_templates_highest_limit(parameter: str) -> None:
    field = re.sub(r"(?<!^)([A-Z])", r"_\1", parameter).lower()
    highest = PARAMETERS[parameter]["MaxValue"]
    assert getattr(settings({parameter: str(highest)}), field) == highest
    assert getattr(settings({parameter: str(PARAMETERS[parameter]["MinValue"])}), field) is None


@pytest.mark.parametrize(
    ("limits", "taken"),
    [("", True), ("{}", True), ('{"web":\n {"models": ["a"]}}', True), ("web", False), ("[]", False)],
)
def test_limits_of_callers_are_a_json_object(limits: str, taken: bool) -> None:
    assert accepts("CallerLimits", limits) is taken


def test_thirty_caller_keys_fit_into_lambdas_environment_variables() -> None:
    # 4 KB in all, names and values: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
    pairs = ",".join(f"caller-{number:02}:{number:064x}" for number in range(30))
    secret = "arn:aws:secretsmanager:eu-central-1:123456789012:secret:openai-AbCdEf"
    parameters = {"CallerKeys": pairs, "OpenAiApiKeySecretId": secret, "TokensPerDay": "1000"}
    environment = function_environment(TEMPLATE, "StreamChatFunction", parameters)
    stack_names = 4 * 40  # table, bucket, function and queue: the stack's name and a suffix
    assert sum(len(name) + len(value) for name, value in environment.items()) + stack_names < 4096


def test_concurrent_answers_are_limited_by_default() -> None:
    assert evaluate(TEMPLATE, STREAM_CHAT["ReservedConcurrentExecutions"]) == "50"
    assert (
        evaluate(TEMPLATE, STREAM_CHAT["ReservedConcurrentExecutions"], {"ReservedConcurrency": "0"}) is None
    )


def test_function_urls_cors_allows_headers_with_keys_tokens_and_signatures_but_no_cookies() -> None:
    cors = STREAM_CHAT["FunctionUrlConfig"]["Cors"]
    assert cors["AllowMethods"] == ["*"]
    signature = {"authorization", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
    assert cors["AllowHeaders"] == {"Ref": "AllowedHeaders"}
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
def test_headers_of_sdks_and_tracing_are_allowed_by_name(
    names: str,
) -> None:
    assert set(names.split()) <= set(ALLOWED_HEADERS)


def test_allowed_headers_keep_the_limits_of_lambda_and_cloudformation() -> None:
    assert len(set(ALLOWED_HEADERS)) == len(ALLOWED_HEADERS) <= 100
    assert len(",".join(ALLOWED_HEADERS)) <= 4096
    assert [name for name in ALLOWED_HEADERS if name != name.strip().lower()] == []


def test_cors_is_configured_only_at_the_function_url() -> None:
    assert json.dumps(RESOURCES).lower().count("allow-origin") == 0
    assert [name for name, piece in RESOURCES.items() if "Cors" in piece["Properties"]] == []
