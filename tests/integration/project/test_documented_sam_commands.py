"""The SAM CLI has the commands and options that the documentation names."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.aws.sam import sam_says
from tests.support.documentation import GUIDES

# Every command of the documentation → the options that the SAM CLI has for it.
OPTIONS = """
import json, sys
from click import Context
from samcli.cli.main import cli

found = {}
for words in json.loads(sys.argv[1]):
    command, context = cli, Context(cli, obj=object())  # without one it loads no command
    for word in words:
        command = command.get_command(context, word)
    found[" ".join(words)] = [option for parameter in command.params for option in parameter.opts]
print(json.dumps(found))
"""


def documented() -> dict[str, set[str]]:
    """The commands, in blocks and in sentences, with the options that each is given."""
    commands: dict[str, set[str]] = {}
    text = "\n".join(GUIDES.values()).replace("\\\n", " ")
    for words, rest in re.findall(
        r"\bsam (build|deploy|delete|local invoke|local start-api)\b([^\n`&#]*)", text
    ):
        commands.setdefault(words, set()).update(re.findall(r"--[a-z-]+", rest))
    return commands


def test_the_sam_cli_has_every_command_and_option_of_the_documentation(sam: Path) -> None:
    commands = documented()
    assert set(commands) == {"build", "deploy", "delete", "local invoke", "local start-api"}
    assert commands["deploy"] == {"--guided", "--parameter-overrides"}
    known = sam_says(sam, OPTIONS, json.dumps([words.split() for words in commands]))
    assert {words: options - set(known[words]) for words, options in commands.items()} == {
        words: set() for words in commands
    }
