"""The caller's own secrets in a request, which no transcript may keep."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import Any

from upstream.key_redaction import REDACTED

# LiteLLM reads `api_key`, `aws_secret_access_key`, `vertex_credentials`, `extra_headers` and more in a body.
_CREDENTIAL = re.compile(
    r"(api|access|private)_?key|authorization|authentication|secret|passw|credential|connection_string"
    r"|bearer|cookie|headers$|token$|^auth$|^sig$",
    re.IGNORECASE,
)
_SECRETS_IN_URL = re.compile(r"(?<=//)[^/?#]*@|[?#].*", re.DOTALL)  # user and password, query, fragment

# Fields that describe arguments or the form of an answer: a property named `password` is not a password.
_SCHEMAS = ("response_format", "text", "functions", "function", "parameters")
_DEPTH = 8  # no gateway gives a meaning to fields nested deeper than this, so they are not checked


def without_credentials(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The request's parameters with the value of every field for a secret redacted.

    An `mcp` tool of the Responses API contains the token for its server (`authorization`, `headers`), and
    LiteLLM accepts keys in many fields, nested ones too.
    """
    return {name: _redacted(name, value, _DEPTH) for name, value in parameters.items()}


def _redacted(name: str, value: Any, depth: int) -> Any:
    if name in _SCHEMAS:
        return value
    if value and _CREDENTIAL.search(name.replace("-", "_")):
        return REDACTED
    if name == "server_url" and isinstance(value, str):
        return _SECRETS_IN_URL.sub("", value)
    # Copy only what contains a secret: the rest may take most of the function's memory.
    if isinstance(value, list) and depth:
        items = [_redacted("", item, depth - 1) for item in value]
        return items if any(map(operator.is_not, items, value)) else value
    if isinstance(value, dict) and depth:
        fields = {inner: _redacted(inner, item, depth - 1) for inner, item in value.items()}
        return fields if any(map(operator.is_not, fields.values(), value.values())) else value
    return value
