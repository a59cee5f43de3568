"""Identifying callers by the tokens of an issuer on loopback, and what a refusal looks like."""

from __future__ import annotations

from typing import Any

import pytest

from callers.tokens import TokenCallers
from errors import RequestError
from settings import Settings
from tests.support.tokens.token_issuer import AUDIENCE, TokenIssuer


def callers_of(issuer: TokenIssuer, **values: Any) -> TokenCallers:
    """Callers with tokens of this issuer; the values are settings."""
    given = {"jwt_issuer": issuer.issuer, "jwt_audiences": (AUDIENCE,), "jwt_algorithms": (issuer.algorithm,)}
    return TokenCallers(Settings(auth_mode="jwt", **{**given, **values}))


def identify(callers: TokenCallers, token: str) -> str:
    """The name of the caller who sends this token."""
    return callers.identify({"authorization": f"Bearer {token}"})


def refusal(callers: TokenCallers, token: str) -> RequestError:
    """Send a token that must be answered with 401."""
    with pytest.raises(RequestError) as raised:
        identify(callers, token)
    error = raised.value
    assert (error.status, error.code, error.type) == (401, "invalid_token", "authentication_error")
    return error
