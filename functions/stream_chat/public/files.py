"""What the function serves to browsers: the playground, the client module, the React hooks, types."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from public.routes import PLAYGROUND, OpenAnswer

FOLDER = Path(__file__).parent / "browser"

# The line of the playground's script in whose place the module stands in the page: one request brings it all.
_IMPORT = 'import { streamText } from "./stream.js";\n'

# Its documentation is for those who copy it: `/** … */` on lines of their own.
_DOCUMENTATION = re.compile(r"^ */\*\*(?:(?!\*/).)*\*/\n", re.DOTALL | re.MULTILINE)

_HEADERS: Mapping[str, str] = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-cache",  # kept, but asked about before each use: a deploy is seen at once
}


@cache
def browser_file(path: str) -> OpenAnswer:
    """The file that is served at one of the paths of `open_routes`, with its `etag`."""
    if path == PLAYGROUND:
        return _page()
    media_type = "text/javascript" if path.endswith(".js") else "application/typescript"
    return _file(media_type, _read(path[1:]), {})


def _page() -> OpenAnswer:
    """The playground as one document that asks for no other."""
    script = _read("playground.js")
    if script.count(_IMPORT) != 1:
        raise ValueError(f"playground.js must have this line once: {_IMPORT}")
    script = script.replace(_IMPORT, _DOCUMENTATION.sub("", _read("stream.js")))
    style = _read("playground.css")
    page = _read("playground.html").replace("/* playground.css */", style)
    page = page.replace("/* playground.js */", script)
    policy = {
        "default-src": "'none'",
        "script-src": _hash(script),
        "style-src": _hash(style),
        "img-src": "data:",  # its icon
        "connect-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }
    headers = {
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "cross-origin-opener-policy": "same-origin",
    }
    return _file("text/html", page, headers)


def _file(media_type: str, text: str, headers: Mapping[str, str]) -> OpenAnswer:
    body = text.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    own = {"content-type": f"{media_type}; charset=utf-8", "etag": etag}
    return OpenAnswer(200, {**_HEADERS, **headers, **own}, body)


def _hash(text: str) -> str:
    """The source expression that allows this very text, which stands in its element without a byte more."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
