"""The key for the upstream: from the environment, or from Secrets Manager."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from settings import Settings

if TYPE_CHECKING:
    from aws_client import CallLimits

# Without them a function in a VPC without an endpoint for Secrets Manager would wait for minutes.
LIMITS: CallLimits = {"connect_timeout_s": 2, "read_timeout_s": 3, "attempts": 2}
LIMIT_S = 8.0  # in total: the caller is waiting for the first byte
CACHE_AGE_S = 300  # a rotated secret is in use within five minutes, even if the old key is still accepted


class OpenAIKey:
    """Reads the key, and reads it again when the upstream refuses it."""

    def __init__(self, settings: Settings) -> None:
        self._key = settings.openai_api_key
        self._secret_id = settings.openai_api_key_secret_id
        self._client: Any = None
        self._secrets: Any = None
        self.is_renewable = bool(self._secret_id)

    def read(self, *, limit_s: float = LIMIT_S, renew: bool = False) -> str:
        """The key; empty for an upstream that needs none.

        Args:
            limit_s: the time for Secrets Manager, at most LIMIT_S.
            renew: read from Secrets Manager even if the cached secret is recent.

        Raises:
            GetParameterError: Powertools could not read the secret.
            ValueError: the secret is neither a key nor `{"OPENAI_API_KEY": "…"}`.
        """
        if not self._secret_id:
            return self._key
        if self._secrets is None:
            self._make_clients()
        self._secrets.client = self._client.within(min(limit_s, LIMIT_S))
        return _key_in(self._secrets.get(self._secret_id, max_age=CACHE_AGE_S, force_fetch=renew))

    def _make_clients(self) -> None:
        # Imported here: they import boto3, which a key from the environment does not need.
        from aws_lambda_powertools.utilities.parameters import SecretsProvider

        from aws_client import aws_client

        self._client = aws_client("secretsmanager", **LIMITS)
        self._secrets = SecretsProvider(boto3_client=self._client)


def _key_in(secret: str | bytes) -> str:
    """The secret itself, or its field OPENAI_API_KEY: the AWS console stores pairs as a JSON object."""
    text = (secret.decode() if isinstance(secret, bytes) else secret).strip()
    if text.startswith("{"):
        text = json.loads(text).get("OPENAI_API_KEY", "")
    if not isinstance(text, str) or not (text and text.isascii() and text.isprintable()):
        raise ValueError('the OpenAI secret must be the key itself or {"OPENAI_API_KEY": "…"}')
    return text
