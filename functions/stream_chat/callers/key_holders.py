"""Identifies callers by keys of their own, of which the deployment holds the hashes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from callers.key_hashes import holder, key_hash
from errors import RequestError
from request.http_request import HttpRequest
from settings import Settings

if TYPE_CHECKING:
    from callers.callers_table import CallersTable


class KeyHolders:
    """Names callers by the key in `Authorization: Bearer …` or `x-api-key`.

    A key of CALLER_KEYS is found without a call. Only a key that is not there is looked for in the table of
    callers. Its client is made when it is first needed, or in the init phase if only the table has callers.

    Args:
        settings: CALLER_KEYS and CALLERS_TABLE_NAME.
    """

    def __init__(self, settings: Settings) -> None:
        self._caller_keys = settings.caller_keys
        self._table_name = settings.callers_table_name
        self._table: CallersTable | None = None
        if self._table_name and not self._caller_keys:
            self._table = _table(self._table_name)

    def identify(self, http: HttpRequest) -> str:
        """The name that belongs to the request's key.

        Raises:
            RequestError: 401. It does not tell whether the key was absent, wrong or never configured. 503 if
                the key is unknown and the table of callers cannot be read.
        """
        key = _presented_key(http.headers)
        sha256 = key_hash(key)
        name = holder(sha256, self._caller_keys)
        if name is None and key and self._table_name:
            name = self._holder_in_table(sha256)
        if not key or name is None:
            message = "A valid caller key is needed, as `Authorization: Bearer …` or `x-api-key`."
            headers = {"www-authenticate": "Bearer"}
            raise RequestError(401, "invalid_api_key", message, type="authentication_error", headers=headers)
        return name

    def _holder_in_table(self, sha256: str) -> str | None:
        if self._table is None:
            self._table = _table(self._table_name)
        return self._table.holder(sha256)


def _table(name: str) -> CallersTable:
    from callers.callers_table import CallersTable  # its client imports boto3

    return CallersTable(name)


def _presented_key(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", "").strip()
