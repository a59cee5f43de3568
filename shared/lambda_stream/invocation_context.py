"""The context object of an invocation, with the attributes of the stock client's."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from typing import Any

from .error_report import FaultError

_W3C_FIELDS = ("traceparent", "tracestate", "baggage")


class _Fields:
    """An object with fixed attributes, filled from a JSON object; absent ones are None."""

    __slots__: tuple[str, ...] = ()

    def __init__(self, values: dict[str, Any]) -> None:
        for name in self.__slots__:
            setattr(self, name, values.get(name))

    def __repr__(self) -> str:
        fields = ",".join(f"{name}={getattr(self, name)}" for name in self.__slots__)
        return f"{type(self).__name__}([{fields}])"


class Client(_Fields):
    """The mobile app that invoked the function."""

    __slots__ = ("app_package_name", "app_title", "app_version_code", "app_version_name", "installation_id")

    app_package_name: str | None
    app_title: str | None
    app_version_code: str | None
    app_version_name: str | None
    installation_id: str | None


class ClientContext(_Fields):
    """The client context that the invoker sent."""

    __slots__ = ("client", "custom", "env")

    client: Client | None
    custom: dict[str, Any] | None
    env: dict[str, Any] | None


class CognitoIdentity(_Fields):
    """The Amazon Cognito identity that invoked the function, if there is one."""

    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    cognito_identity_id: str | None
    cognito_identity_pool_id: str | None


class LambdaContext:
    """The context of one invocation, with the attributes and methods of awslambdaric's LambdaContext.

    `client_context` and `cognito_identity` are the JSON texts of their headers. Raises FaultError
    (Runtime.LambdaContextUnmarshalError) if one of them is not JSON.
    """

    def __init__(
        self,
        request_id: str,
        *,
        deadline_epoch_ms: int | None = None,
        function_arn: str | None = None,
        client_context: str | None = None,
        cognito_identity: str | None = None,
        tenant_id: str | None = None,
    ) -> None:
        self.aws_request_id = request_id
        self.log_group_name = os.environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = os.environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = os.environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = os.environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = function_arn
        self.tenant_id = tenant_id
        self._deadline_epoch_ms = deadline_epoch_ms

        client = _parse(client_context, "Client Context")
        w3c = client.pop("w3c", None) if client else None
        self._w3c = _strings(w3c, _W3C_FIELDS) if isinstance(w3c, dict) else {}
        if client and isinstance(client.get("client"), dict):
            client["client"] = Client(client["client"])
        self.client_context = None if client is None else ClientContext(client)
        identity = _parse(cognito_identity, "Cognito Identity") or {}
        self.identity = CognitoIdentity(
            {
                "cognito_identity_id": identity.get("cognitoIdentityId"),
                "cognito_identity_pool_id": identity.get("cognitoIdentityPoolId"),
            }
        )

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the timeout, at least 0; `sys.maxsize` if there is no deadline."""
        if self._deadline_epoch_ms is None:
            return sys.maxsize
        return max(0, self._deadline_epoch_ms - int(time.time() * 1000))

    def w3c(self) -> dict[str, str]:
        """Return the W3C trace context from the client context."""
        return dict(self._w3c)

    def log(self, message: object) -> None:
        """Write `message` to the function's log without formatting it."""
        for handler in logging.getLogger().handlers:
            sink = getattr(handler, "log_sink", None)
            if sink is not None:
                sink.log(str(message))
                return
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        public = {name: value for name, value in vars(self).items() if not name.startswith("_")}
        return f"LambdaContext([{','.join(f'{name}={value}' for name, value in public.items())}])"


def _strings(values: dict[str, Any], names: tuple[str, ...]) -> dict[str, str]:
    return {name: values[name] for name in names if isinstance(values.get(name), str)}


def _parse(header: str | None, name: str) -> dict[str, Any] | None:
    if not header:
        return None
    try:
        value = json.loads(header)
    except (ValueError, RecursionError) as error:  # RecursionError: nested too deeply
        raise FaultError(
            "Runtime.LambdaContextUnmarshalError", f"Unable to parse {name} JSON: {error}"
        ) from error
    return value if isinstance(value, dict) else None
