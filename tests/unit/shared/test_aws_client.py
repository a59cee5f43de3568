"""How AWS's errors are told: in a word, never in their text."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from aws_client import error_code, longest_call_s


def test_an_error_that_aws_explains_is_told_by_its_code() -> None:
    answer: Any = {"Error": {"Code": "RequestThrottled", "Message": "secret"}}
    assert error_code(ClientError(answer, "SendMessage")) == "RequestThrottled"


@pytest.mark.parametrize("answer", [{"Error": {"Message": "secret"}}, {"Error": {"Code": ""}}, {}])
def test_an_error_that_aws_does_not_explain_is_told_by_its_name(answer: Any) -> None:
    assert error_code(ClientError(answer, "SendMessage")) == "ClientError"


def test_any_other_error_is_told_by_its_name() -> None:
    assert error_code(EndpointConnectionError(endpoint_url="https://secret")) == "EndpointConnectionError"
    assert error_code(ValueError("secret")) == "ValueError"


def test_the_longest_call_counts_every_attempt_and_the_waits_between() -> None:
    assert longest_call_s(2, 10, 1) == 12
    assert longest_call_s(2, 10, 4) == 4 * 12 + 1 + 2 + 4
