"""`sam local` has no AWS behind it, and its `!Ref` of a resource is its logical name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LOGICAL_NAME = re.compile(r"[A-Za-z0-9]+")  # of any resource, by CloudFormation's rules


def is_sam_local(environ: Mapping[str, str]) -> bool:
    """Whether `sam local` runs the function."""
    return environ.get("AWS_SAM_LOCAL") == "true"


def is_logical_name(value: Any) -> bool:
    """Whether a value that should be a queue's URL is only what the template calls the queue."""
    return isinstance(value, str) and _LOGICAL_NAME.fullmatch(value) is not None
