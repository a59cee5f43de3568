"""`python -m local.caller_key NAME`, which is `make caller NAME=…`: a new key, and what to do with it.

It stores nothing. The stack knows the key only by its SHA-256, in the table of callers.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import secrets

NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")  # as the functions take it
STACK = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,127}")  # CloudFormation's rule


def instructions(name: str, stack: str, key: str) -> str:
    """What to do with a caller's new key: commands for bash, between explanations."""
    sha256 = hashlib.sha256(key.encode()).hexdigest()
    query = "Stacks[0].Outputs[?OutputKey=='CallersTableName'].OutputValue"
    table = f'"$(aws cloudformation describe-stacks --stack-name {stack} --query "{query}" --output text)"'
    item = json.dumps({"sha256": {"S": sha256}, "name": {"S": name}})
    item_key = json.dumps({"sha256": {"S": sha256}})
    return f"""\
The key of {name}, which is stored nowhere. Give it to the caller:
{key}

To add the caller to the stack {stack} (the key works within ten seconds):
aws dynamodb put-item --table-name {table} --item '{item}'

To revoke this key later (it is refused within five minutes):
aws dynamodb delete-item --table-name {table} --key '{item_key}'

To list the key in the parameter CallerKeys or the variable CALLER_KEYS instead:
{name}:{sha256}
"""


def main(arguments: list[str] | None = None) -> None:
    """Print a new key and its instructions. Ends with status 2 if a name is not one."""
    parser = argparse.ArgumentParser(prog="make caller", description="Make a key for a caller.")
    parser.add_argument("name", help="the caller's name: NAME=web")
    parser.add_argument("stack", nargs="?", default="delta-relay", help="the stack's name: STACK=delta-relay")
    given = parser.parse_args(arguments)
    if NAME.fullmatch(given.name) is None:
        parser.error("NAME must have 1 to 64 letters, digits and characters of `_.-`: make caller NAME=web")
    if STACK.fullmatch(given.stack) is None:
        parser.error("STACK must be the name of a CloudFormation stack")
    print(instructions(given.name, given.stack, secrets.token_hex(24)), end="")


if __name__ == "__main__":
    main()
