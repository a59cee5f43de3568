"""An issuer of tokens over a real socket, and the callers whom its tokens name."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from callers.tokens import TokenCallers
from tests.support.tokens.token_callers import callers_of
from tests.support.tokens.token_issuer import TokenIssuer


@pytest.fixture(scope="module")
def issuer() -> Iterator[TokenIssuer]:
    with TokenIssuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def callers(issuer: TokenIssuer) -> TokenCallers:
    return callers_of(issuer)
