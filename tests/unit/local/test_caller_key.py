"""`make caller`: a key, and commands that bash takes."""

from __future__ import annotations

import hashlib
import json
import shlex

import pytest

from local.caller_key import instructions, main
from settings import Settings


def test_commands_store_and_revoke_the_hash_of_the_key_in_the_stacks_table() -> None:
    lines = instructions("web", "another-stack", "k").splitlines()
    sha256 = hashlib.sha256(b"k").hexdigest()
    add, revoke = (shlex.split(line) for line in lines if line.startswith("aws "))
    assert add[:4] == ["aws", "dynamodb", "put-item", "--table-name"]
    assert json.loads(add[-1]) == {"sha256": {"S": sha256}, "name": {"S": "web"}}
    assert revoke[:4] == ["aws", "dynamodb", "delete-item", "--table-name"]
    assert json.loads(revoke[-1]) == {"sha256": {"S": sha256}}
    assert "--stack-name another-stack " in " ".join(add)
    made = Settings.from_environment({"OPENAI_API_KEY": "k", "CALLER_KEYS": lines[-1]})
    assert made.caller_keys == (("web", sha256),)


def test_every_key_is_new(capsys: pytest.CaptureFixture[str]) -> None:
    keys = set()
    for _ in range(5):
        main(["web"])
        keys.add(capsys.readouterr().out.splitlines()[1])
    assert {len(key) for key in keys} == {48}
    assert len(keys) == 5


@pytest.mark.parametrize(
    ("arguments", "named"),
    [([""], "NAME"), (["a b"], "NAME"), (["x" * 65], "NAME"), (["web", "a stack"], "STACK"), ([], "name")],
)
def test_an_invalid_name_is_refused(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert named in capsys.readouterr().err
