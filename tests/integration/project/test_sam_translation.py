"""What SAM makes of template.yaml when it is deployed, and under `sam local`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.aws.sam import deployed, evaluate, sam_says

MODES = ["keys", "jwt", "iam", "none"]
ROLE = "arn:aws:iam::210987654321:role/chat"

# What `sam local` reads from the template in each mode, before it starts Docker.
LOCAL_VIEW = """
import json, sys
from samcli.lib.providers.api_provider import ApiProvider
from samcli.lib.providers.sam_function_provider import SamFunctionProvider
from samcli.lib.providers.sam_stack_provider import SamLocalStackProvider

def view(mode):
    parameters = {"AuthMode": mode, "Architecture": "x86_64"}
    stacks, _ = SamLocalStackProvider.get_stacks("template.yaml", parameter_overrides=parameters)
    function = SamFunctionProvider(stacks, use_raw_codeuri=True).get("StreamChatFunction")
    return {
        "routes": sorted([route.path, sorted(route.methods)] for route in ApiProvider(stacks).api.routes),
        "layers": [layer.name for layer in function.layers],
        "variables": function.environment["Variables"],
    }

print(json.dumps({mode: view(mode) for mode in sys.argv[1:]}))
"""


@pytest.fixture(scope="module")
def local_views(sam: Path) -> dict[str, Any]:
    views: dict[str, Any] = sam_says(sam, LOCAL_VIEW, *MODES)
    return views


@pytest.mark.parametrize(
    ("mode", "given", "principal"),
    [
        ("keys", "", "*"),
        ("jwt", "", "*"),
        ("none", "", "*"),
        ("keys", ROLE, "*"),
        ("iam", "", None),
        ("iam", ROLE, ROLE),
    ],
)
def test_url_has_its_auth_type_and_exactly_the_matching_permissions(
    translated: dict[str, Any], mode: str, given: str, principal: str | None
) -> None:
    parameters = {"AuthMode": mode, "IamPrincipal": given}
    auth_type = "AWS_IAM" if mode == "iam" else "NONE"
    (url,) = deployed(translated, "AWS::Lambda::Url", parameters).values()
    assert (url["TargetFunctionArn"], url["AuthType"]) == ("StreamChatFunction", auth_type)
    permissions = [
        permission
        for permission in deployed(translated, "AWS::Lambda::Permission", parameters).values()
        if permission["Principal"] != "apigateway.amazonaws.com"
    ]
    function = {"FunctionName": "StreamChatFunction", "Principal": principal}
    wanted = [
        {**function, "Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": auth_type},
        {**function, "Action": "lambda:InvokeFunction", "InvokedViaFunctionUrl": True},
    ]
    assert permissions == (wanted if principal else [])


def test_api_gateway_may_invoke_the_function_for_every_path_of_this_api_only(
    translated: dict[str, Any],
) -> None:
    permissions = deployed(translated, "AWS::Lambda::Permission").values()
    sources = {
        permission["SourceArn"]
        for permission in permissions
        if permission["Principal"] == "apigateway.amazonaws.com"
    }
    api = "arn:AWS::Partition:execute-api:AWS::Region:AWS::AccountId:RestApi"
    assert sources == {f"{api}/*"}


@pytest.mark.parametrize("mode", MODES)
def test_each_mode_has_its_layers(translated: dict[str, Any], mode: str) -> None:
    layers = translated["Resources"]["StreamChatFunction"]["Properties"]["Layers"]
    there = deployed(translated, "AWS::Lambda::LayerVersion", {"AuthMode": mode})
    attached = evaluate(translated, layers, {"AuthMode": mode})
    assert set(attached) == set(there)
    names = [there[layer]["LayerName"] for layer in attached]
    assert names == (["SharedLayer", "JwtLayerArm64"] if mode == "jwt" else ["SharedLayer"])


@pytest.mark.parametrize("mode", MODES)
def test_sam_local_finds_routes_layers_and_variables(local_views: dict[str, Any], mode: str) -> None:
    seen = local_views[mode]
    assert [path for path, _ in seen["routes"]] == ["/", "/{proxy+}"]
    assert all({"GET", "POST"} <= set(methods) for _, methods in seen["routes"])
    assert seen["layers"] == (["SharedLayer", "JwtLayerX86"] if mode == "jwt" else ["SharedLayer"])
    assert (seen["variables"]["AUTH_MODE"], seen["variables"]["SETTINGS_JSON"]) == (mode, "")
