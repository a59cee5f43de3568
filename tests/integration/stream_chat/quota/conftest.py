"""Environment variables, a clock and a caller for each test."""

from __future__ import annotations

import pytest

from tests.support.aws.loopback_aws import LoopbackAws
from tests.support.quota.admitting_process import be_patient
from tests.support.quota.limit_counters import HALF_PAST, Clock


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch, aws: LoopbackAws) -> dict[str, str]:
    """The environment variables of the function."""
    variables = {
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL_DYNAMODB": aws.url,
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return variables


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests in which the table answers."""
    be_patient(monkeypatch)


@pytest.fixture
def clock() -> Clock:
    return Clock(HALF_PAST)


@pytest.fixture
def caller(request: pytest.FixtureRequest) -> str:
    """A caller that only this test uses."""
    return str(request.node.nodeid)
