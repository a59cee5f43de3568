"""`sam local`: there is no AWS behind it, and `!Ref` of a resource gives the resource's logical name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_LOGICAL_NAME = re.compile(r"[A-Za-z0-9]+")  # CloudFormation's rule for any resource


def is_sam_local(environ: Mapping[str, str]) -> bool:
    """Whether `sam local` runs the function."""
    return environ.get("AWS_SAM_LOCAL") == "true"


def is_logical_name(value: Any) -> bool:
    """Whether a value that should be a queue's URL is only the queue's logical name in the template."""
    return isinstance(value, str) and _LOGICAL_NAME.fullmatch(value) is not None
