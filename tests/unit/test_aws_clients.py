"""How patient the hand-off's calls are with the time that is left."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aws_clients import LEAST_TIMEOUT_S, MAX_ATTEMPTS, Patience, Service

services = st.sampled_from(["lambda", "s3", "sqs"])


def longest_s(patience: Patience) -> float:
    """How long a call takes whose attempts all hang, with the longest waits of botocore's standard mode."""
    attempt_s = patience.connect_timeout_s + patience.read_timeout_s
    return patience.attempts * attempt_s + 2.0 ** (patience.attempts - 1) - 1


@given(services, st.floats(2 * LEAST_TIMEOUT_S, 1000))
def test_a_call_is_over_within_its_budget_even_if_every_attempt_hangs(
    service: Service, budget_s: float
) -> None:
    assert longest_s(Patience.within(service, budget_s)) <= budget_s


@given(services, st.floats(-10, 2 * LEAST_TIMEOUT_S))
def test_a_call_is_attempted_once_even_when_there_is_no_time_left(service: Service, budget_s: float) -> None:
    patience = Patience.within(service, budget_s)
    assert patience.attempts == 1
    assert longest_s(patience) == pytest.approx(2 * LEAST_TIMEOUT_S)


@given(services, st.floats(0, 1000), st.floats(0, 1000))
def test_more_time_never_makes_fewer_attempts(service: Service, budget_s: float, more_s: float) -> None:
    less, more = Patience.within(service, budget_s), Patience.within(service, budget_s + more_s)
    assert less.attempts <= more.attempts <= MAX_ATTEMPTS


@pytest.mark.parametrize("service", ["lambda", "s3", "sqs"])
def test_an_ordinary_answer_leaves_time_for_every_attempt(service: Service) -> None:
    assert Patience.within(service, 145).attempts == MAX_ATTEMPTS
