"""What the README shows, to be run as it stands there."""

from __future__ import annotations

import re

from tests.support.project import PROJECT

README = (PROJECT / "README.md").read_text(encoding="utf-8")

RELAY = "http://127.0.0.1:3000"  # where the README's relay is: that of `make run`

CALLER_KEY = "a caller's key"  # so it is called there

_NAMED = re.compile(r"^```jsx?\n// (?P<name>[A-Za-z-]+\.jsx?)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)


def named_files(relay: str) -> dict[str, str]:
    """The files that are shown whole, each with its name in its first line, for a relay at this URL."""
    return {found["name"]: found["code"].replace(RELAY, relay) for found in _NAMED.finditer(README)}
