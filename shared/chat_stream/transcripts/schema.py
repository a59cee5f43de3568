"""The published schemas of a transcript and of a pointer to one, checked by the standard library alone.

Powertools' validation (fastjsonschema) would break what this check promises: its errors quote the document
(44 ms and 12 MB for a faulty one of 6 MB, RecursionError for a deeply nested one). It also compiles the
schema for each document (17 ms against 0.06) and takes 43 ms to import (against 1). fastjsonschema alone
compiles once (28 ms with its import), but quotes unknown names, and all who read transcripts with this
package would have to install it.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

_PLAIN_NAME = re.compile("[A-Za-z0-9_]{1,64}")
_TYPES: dict[str, type] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": float,
    "null": type(None),
}


class InvalidTranscriptError(ValueError):
    """The document is not a transcript. The message names the field and what would be right, but no value."""


def transcript_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) in transcript.schema.json, read once."""
    return _schema("transcript.schema.json")


def pointer_schema() -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) in transcript_pointer.schema.json, read once."""
    return _schema("transcript_pointer.schema.json")


def check_transcript(document: Any) -> None:
    """Check the document against the transcript's schema.

    Raises InvalidTranscriptError: for the first fault, such as `response.choices[0].finish_reason: should be
    string or null, not integer`.
    """
    _check(document, transcript_schema(), "")


def check_pointer(document: Any) -> None:
    """Check the document against the pointer's schema.

    Raises InvalidTranscriptError: for the first fault, as `check_transcript`.
    """
    _check(document, pointer_schema(), "")


@cache
def _schema(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(Path(__file__).with_name(name).read_bytes())
    return schema


def _check(value: Any, schema: dict[str, Any], path: str) -> None:
    """Check the keywords that our schemas use; a test compares the verdicts with jsonschema's.

    Values that the schema leaves open are not entered, so neither their size nor their depth matters.
    """
    types = schema.get("type", [])
    types = [types] if isinstance(types, str) else types
    found = _type_of(value)
    if types and found not in types and not (found == "integer" and "number" in types):
        raise _violation(path, f"should be {' or '.join(types)}, not {found}")
    if "const" in schema and value != schema["const"]:
        raise _violation(path, f"should be {schema['const']!r}")
    if "enum" in schema and value not in schema["enum"]:
        raise _violation(path, f"should be one of {', '.join(schema['enum'])}")
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            raise _violation(path, "should not be empty")
        if not re.search(schema.get("pattern", ""), value):
            raise _violation(path, f"should match {schema['pattern']}")
    elif isinstance(value, int | float) and value < schema.get("minimum", value):
        raise _violation(path, f"should be {schema['minimum']} or more")
    elif isinstance(value, list) and "items" in schema:
        for index, item in enumerate(value):
            _check(item, schema["items"], f"{path}[{index}]")
    elif isinstance(value, dict):
        _check_object(value, schema, path)


def _check_object(value: dict[str, Any], schema: dict[str, Any], path: str) -> None:
    properties = schema.get("properties", {})
    for name in schema.get("required", []):
        if name not in value:
            raise _violation(_join(path, name), "is missing")
    for name, part in value.items():
        if name in properties:
            _check(part, properties[name], _join(path, name))
        elif schema.get("additionalProperties") is False:
            known = name if _PLAIN_NAME.fullmatch(str(name)) else "(a name)"  # others may hold content
            raise _violation(_join(path, known), "is not a field of a transcript")
    if "if" in schema:
        _check(value, schema["then" if _matches(value, schema["if"]) else "else"], path)


def _matches(value: Any, schema: dict[str, Any]) -> bool:
    try:
        _check(value, schema, "")
    except InvalidTranscriptError:
        return False
    return True


def _type_of(value: Any) -> str:
    if isinstance(value, bool):  # an int in Python, but no integer in JSON Schema
        return "boolean"
    return next((name for name, kind in _TYPES.items() if isinstance(value, kind)), type(value).__name__)


def _join(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _violation(path: str, message: str) -> InvalidTranscriptError:
    return InvalidTranscriptError(f"{path or 'the transcript'}: {message}")
