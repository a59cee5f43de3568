"""AWS errors are reported by their code, never by their message."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from aws_client import error_code, longest_call_s


def test_an_error_with_a_code_is_reported_by_it() -> None:
    answer: Any = {"Error": {"Code": "RequestThrottled", "Message": "secret"}}
    assert error_code(ClientError(answer, "SendMessage")) == "RequestThrottled"


@pytest.mark.parametrize("answer", [{"Error": {"Message": "secret"}}, {"Error": {"Code": ""}}, {}])
def test_an_error_of_aws_without_a_code_is_reported_by_its_class_name(answer: Any) -> None:
    assert error_code(ClientError(answer, "SendMessage")) == "ClientError"


def test_any_other_error_is_reported_by_its_class_name() -> None:
    assert error_code(EndpointConnectionError(endpoint_url="https://secret")) == "EndpointConnectionError"
    assert error_code(ValueError("secret")) == "ValueError"


def test_the_longest_call_includes_every_attempt_and_the_waits_between_them() -> None:
    assert longest_call_s(2, 10, 1) == 12
    assert longest_call_s(2, 10, 4) == 4 * 12 + 1 + 2 + 4
