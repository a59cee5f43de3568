"""What a request holds of the caller's own secrets, which no transcript may keep."""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import Any

from upstream.key_redaction import REDACTED

# LiteLLM takes `api_key`, `aws_secret_access_key`, `vertex_credentials`, `extra_headers` and more in a body.
_CREDENTIAL = re.compile(
    r"(api|access|private)_?key|authorization|authentication|secret|passw|credential|connection_string"
    r"|bearer|cookie|headers$|token$|^auth$|^sig$",
    re.IGNORECASE,
)
_SECRETS_IN_URL = re.compile(r"(?<=//)[^/?#]*@|[?#].*", re.DOTALL)  # user and password, query, fragment

# What describes the arguments or the form of an answer: a property called `password` is no password.
_SCHEMAS = ("response_format", "text", "functions", "function", "parameters")
_DEPTH = 8  # of nesting that any gateway gives a meaning to; deeper than that nothing is looked at


def without_credentials(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The request's parameters with every value blacked out whose field is one for a secret.

    An `mcp` tool of the Responses API carries the token for its server (`authorization`, `headers`), and
    LiteLLM takes keys in many fields, nested ones too.
    """
    return {name: _redacted(name, value, _DEPTH) for name, value in parameters.items()}


def _redacted(name: str, value: Any, depth: int) -> Any:
    if name in _SCHEMAS:
        return value
    if value and _CREDENTIAL.search(name.replace("-", "_")):
        return REDACTED
    if name == "server_url" and isinstance(value, str):
        return _SECRETS_IN_URL.sub("", value)
    # Only what holds a secret is copied: the rest may be most of the function's memory.
    if isinstance(value, list) and depth:
        items = [_redacted("", item, depth - 1) for item in value]
        return items if any(map(operator.is_not, items, value)) else value
    if isinstance(value, dict) and depth:
        fields = {inner: _redacted(inner, item, depth - 1) for inner, item in value.items()}
        return fields if any(map(operator.is_not, fields.values(), value.values())) else value
    return value
