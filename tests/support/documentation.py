"""What README.md and docs/ show, to be run as it stands there."""

from __future__ import annotations

import re

from tests.support.project import PROJECT


def _read(*patterns: str) -> dict[str, str]:
    paths = [path for pattern in patterns for path in sorted(PROJECT.glob(pattern))]
    return {str(path.relative_to(PROJECT)): path.read_text(encoding="utf-8") for path in paths}


PAGES = _read("README.md", "docs/*.md")  # by path, the README first
GUIDES = PAGES | _read("CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")  # every page that people read

RELAY = "http://127.0.0.1:3000"  # where the relay of the pages is: that of `make run`
AWS = "http://127.0.0.1:3001"  # the address of its SQS

CALLER_KEY = "a caller's key"  # the caller's key on the pages

# Commands that no test runs, by the line in which each block begins, with the reason.
_NEEDS_AWS = "needs an AWS account; `make deploy-walk` runs most of them in an emulated one"
NOT_RUN = {
    "make run     # the whole service on this machine: http://127.0.0.1:3000": "serves until Ctrl-C",
    "make probe URL=http": "takes most of a minute; tests/e2e/probe runs it, for each fault",
    "read -rs KEY": "asks for the key; the same probe",
    "make doctor": "needs an upstream; tests/integration/local/doctor runs it",
    "make test    # everything that CI runs: formatting, lint, types, tests": "would run itself",
    "SECRET=": _NEEDS_AWS,
    "sam build && sam deploy --parameter-overrides": _NEEDS_AWS,
    "sam build && sam deploy --guided": _NEEDS_AWS,
    "output() {": _NEEDS_AWS,
    "git pull": _NEEDS_AWS,
    "git checkout": _NEEDS_AWS,
    'curl "$(output FunctionUrl)health"': _NEEDS_AWS,
    "aws secretsmanager put-secret-value": _NEEDS_AWS,
    "BUCKETS=": _NEEDS_AWS,
    "for bucket in": _NEEDS_AWS,
    "sam build\n": "needs Docker; `make sam-local` runs them",
    "sam deploy --parameter-overrides": _NEEDS_AWS,
    "REST_API=": _NEEDS_AWS,
    "cat > distribution.json": _NEEDS_AWS,
    "ACCESS_CONTROL=": _NEEDS_AWS,
    "FUNCTION=": _NEEDS_AWS,
    "BODY=": "needs a domain",
    'aws lambda invoke --function-name "$REDRIVE_FUNCTION" --cli-read-timeout 0 out': _NEEDS_AWS,
    'aws lambda invoke --function-name "$REDRIVE_FUNCTION" --cli-read-timeout 0 \\': _NEEDS_AWS,
    'aws s3 sync "s3://$ARCHIVE_BUCKET/transcripts"': "needs an AWS account and DuckDB's own program",
    "AWS_ACCESS_KEY_ID=x": "needs the AWS CLI; another test runs it if it is installed",
}

_BLOCK = re.compile(r"^```(?P<language>[a-z]*)\n(?P<code>.*?)^```$", re.DOTALL | re.MULTILINE)
_NAME = re.compile(r"// (?P<name>[A-Za-z-]+\.jsx?)\n(?P<code>.*)", re.DOTALL)


def blocks(language: str) -> list[str]:
    """The code of every block in this language, in the order of the pages, each once."""
    found = [block for page in GUIDES.values() for block in _BLOCK.finditer(page)]
    return list(dict.fromkeys(block["code"] for block in found if block["language"] == language))


def languages() -> set[str]:
    """Those in which there is any block; "" is what a program prints."""
    return {block["language"] for page in GUIDES.values() for block in _BLOCK.finditer(page)}


def runnable_commands() -> list[str]:
    """The shell blocks that tests run: all but those of NOT_RUN."""
    return [code for code in blocks("sh") if not code.startswith(tuple(NOT_RUN))]


def named_files(relay: str) -> dict[str, str]:
    """The files that are shown whole, each with its name in its first line, for a relay at this URL."""
    found = [_NAME.fullmatch(code) for language in ("js", "jsx") for code in blocks(language)]
    return {file["name"]: file["code"].replace(RELAY, relay) for file in found if file}


def headings(page: str) -> set[str]:
    """The anchors that GitHub makes of a page's headings."""
    without_code = _BLOCK.sub("", page)
    anchors: set[str] = set()
    for title in re.findall(r"^#+ (.*)$", without_code, re.MULTILINE):
        slug = re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        count = 0
        while (anchor := f"{slug}-{count}" if count else slug) in anchors:
            count += 1
        anchors.add(anchor)
    return anchors


def links(page: str) -> list[str]:
    """The targets of a page's links and pictures."""
    return re.findall(r"\]\(([^)\s]+)\)", _BLOCK.sub("", page))


def tables(page: str) -> list[list[list[str]]]:
    """The tables of a page: their rows, without the head, as lists of cells."""
    found: list[list[list[str]]] = []
    for lines in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        rows = [re.split(r"(?<!\\)\|", line.strip())[1:-1] for line in lines.splitlines()]
        found.append([[cell.strip() for cell in row] for row in rows])
    return found
