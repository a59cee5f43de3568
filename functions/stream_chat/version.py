"""The version of the relay, as `/health` and transcripts show it. A test compares it with pyproject.toml."""

from __future__ import annotations

VERSION = "0.1.0"
PRODUCT = f"delta-relay/{VERSION}"  # RFC 9110, section 10.1.5: a product token, as in a user agent
