"""The SAM CLI, which some machines do not have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.aws.sam import find_sam, translated_template


@pytest.fixture(scope="module")
def sam() -> Path:
    """The path of the SAM CLI; without one, its tests are skipped."""
    found = find_sam()
    if found is None:
        pytest.skip("no SAM CLI: `make test` sets one up, or DELTA_RELAY_SAM names one")
    return found


@pytest.fixture(scope="module")
def translated(sam: Path) -> dict[str, Any]:
    """The template as CloudFormation gets it from SAM."""
    return translated_template(sam)
