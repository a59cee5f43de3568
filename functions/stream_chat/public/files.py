"""Serves the files for browsers: the playground, the client module, the React hooks, their types."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from answers import Answer

FOLDER = Path(__file__).parent / "browser"

# The page holds the module in place of this line of its script, so that one request loads everything.
_IMPORT = 'import { streamText } from "./stream.js";\n'

# The module's documentation, `/** … */` on lines of its own: it is for readers of a copy, not for the page.
_DOCUMENTATION = re.compile(r"^ */\*\*(?:(?!\*/).)*\*/\n", re.DOTALL | re.MULTILINE)

_HEADERS: Mapping[str, str] = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}

# A streamed answer must have a body, so a browser that has a file cannot get a 304.
_OF_THE_PAGE = "no-cache"  # asked for each time, so that a deploy shows at once
_OF_A_MODULE = "public, max-age=300"  # after a deploy, pages may have the old one for five minutes
_OF_A_VERSION = "public, max-age=31536000, immutable"


def browser_file(name: str, version: str = "") -> Answer:
    """The answer that serves a file of the `browser` folder.

    Args:
        version: the version in the file's address. If it is the file's own, its `etag` without the quotes,
            the answer may be kept for ever.
    """
    found = _current_file(name)
    if found.headers["etag"] == f'"{version}"':
        return found._replace(headers={**found.headers, "cache-control": _OF_A_VERSION})
    return found


@cache
def _current_file(name: str) -> Answer:
    if name == "playground.html":
        return _page()
    media_type = "text/javascript" if name.endswith(".js") else "application/typescript"
    return _file(media_type, _read(name), {"cache-control": _OF_A_MODULE})


def _page() -> Answer:
    """The playground as one document that loads no other."""
    script = _read("playground.js")
    if script.count(_IMPORT) != 1:
        raise ValueError(f"playground.js must have this line exactly once: {_IMPORT}")
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
        "cache-control": _OF_THE_PAGE,
        "content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()),
        "cross-origin-opener-policy": "same-origin",
    }
    return _file("text/html", page, headers)


def _file(media_type: str, text: str, headers: Mapping[str, str]) -> Answer:
    body = text.encode()
    etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    own = {"content-type": f"{media_type}; charset=utf-8", "etag": etag}
    return Answer(200, {**_HEADERS, **headers, **own}, body)


def _hash(text: str) -> str:
    """The CSP source expression that allows exactly this text as the whole content of an element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
