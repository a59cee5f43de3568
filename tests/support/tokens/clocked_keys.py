"""The signing keys of an issuer, looked up at times that a test chooses."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from jwt import PyJWK, PyJWKClientError

from callers.published_keys import key_id
from callers.signing_keys import SigningKeys
from errors import RequestError
from settings import Settings
from tests.support.tokens.token_issuer import Key


class ClockedKeys:
    """SigningKeys with a clock that stands still until the test moves it.

    Attributes:
        now: what the clock says, in seconds.

    Args:
        settings: those that begin with jwt_; by default RS256 of https://issuer.example.
    """

    def __init__(self, **settings: Any) -> None:
        self.now = 1000.0
        given = {"jwt_issuer": "https://issuer.example", "jwt_algorithms": ("RS256",), **settings}
        self._keys = SigningKeys(Settings(auth_mode="jwt", **given), lambda: self.now)

    def find(self, kid: str, algorithm: str = "RS256") -> PyJWK | None:
        """The key with this id, if there is one."""
        try:
            return self._keys.get_signing_key(key_id(kid, algorithm))
        except PyJWKClientError:
            return None

    def has(self, key: Key) -> bool:
        """Whether this very key is found by its id."""
        found, public = self.find(key.kid, key.algorithm), key.private.public_key()
        return found is not None and found.key.public_numbers() == public.public_numbers()

    def unavailable(self) -> RequestError:
        """Look up a key, which must be answered with 503."""
        with pytest.raises(RequestError) as raised:
            self.find("any")
        error = raised.value
        assert (error.status, error.code) == (503, "identity_provider_unavailable")
        return error


def fetches() -> list[threading.Thread]:
    """The threads that fetch keys now."""
    return [thread for thread in threading.enumerate() if thread.name == "signing-keys"]


def wait_for_fetches() -> None:
    """Wait until every fetch that is under way has ended."""
    for thread in fetches():
        thread.join(20)
