"""The product's version, as `/health`, transcripts and user agents show it."""

from __future__ import annotations

VERSION = "0.1.0"  # that of pyproject.toml, which is not deployed; a test compares them
PRODUCT = f"delta-relay/{VERSION}"  # RFC 9110, section 10.1.5: a product token, as in a user agent
