"""Callers whose keys are in DynamoDB: added, revoked and found, also while the table cannot be read."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from callers.callers_table import FRESH_S, REREAD_WAIT_S, STALE_S, CallersTable
from callers.identification import identifier
from errors import RequestError
from local.template import properties_of
from request.http_request import HttpRequest
from settings import Settings
from tests.support.aws.loopback_aws import LoopbackAws
from tests.support.quota.limit_counters import HALF_PAST, Clock

TABLE = "callers-that-come-and-go"


def sha256(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture
def dynamodb(aws: LoopbackAws, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of the table, which is as the template makes it."""
    for name, value in {
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "x",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_ENDPOINT_URL_DYNAMODB": aws.url,
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("dynamodb", region_name="us-east-1")
    deployed = properties_of("CallersTable")
    options = {key: deployed[key] for key in ("KeySchema", "AttributeDefinitions", "BillingMode")}
    client.create_table(TableName=TABLE, **options)
    yield client
    if TABLE in client.list_tables()["TableNames"]:
        client.delete_table(TableName=TABLE)


@pytest.fixture
def clock() -> Clock:
    return Clock(HALF_PAST)


@pytest.fixture
def table(dynamodb: Any, clock: Clock) -> CallersTable:
    return CallersTable(TABLE, clock)


def add(dynamodb: Any, name: str, key: str) -> None:
    dynamodb.put_item(TableName=TABLE, Item={"sha256": {"S": sha256(key)}, "name": {"S": name}})


def revoke(dynamodb: Any, key: str) -> None:
    dynamodb.delete_item(TableName=TABLE, Key={"sha256": {"S": sha256(key)}})


def test_key_of_the_table_names_its_caller_and_no_other_does(dynamodb: Any, table: CallersTable) -> None:
    add(dynamodb, "web", "k")
    assert table.holder(sha256("k")) == "web"
    assert table.holder(sha256("x")) is None
    assert table.holder(sha256("")) is None


def test_new_key_is_accepted_after_the_wait(dynamodb: Any, table: CallersTable, clock: Clock) -> None:
    assert table.holder(sha256("k")) is None
    add(dynamodb, "web", "k")
    assert table.holder(sha256("k")) is None
    clock.now += REREAD_WAIT_S
    assert table.holder(sha256("k")) == "web"


def test_revoked_key_is_refused_when_the_copy_is_no_longer_fresh(
    dynamodb: Any, table: CallersTable, clock: Clock
) -> None:
    add(dynamodb, "web", "k")
    add(dynamodb, "ios", "other")
    assert table.holder(sha256("k")) == "web"
    revoke(dynamodb, "k")
    clock.now += FRESH_S - 1
    assert table.holder(sha256("k")) == "web"
    clock.now += 1
    assert table.holder(sha256("k")) is None
    assert table.holder(sha256("other")) == "ios"


def test_clock_that_was_set_back_keeps_no_revoked_key(
    dynamodb: Any, table: CallersTable, clock: Clock
) -> None:
    add(dynamodb, "web", "k")
    assert table.holder(sha256("k")) == "web"
    revoke(dynamodb, "k")
    clock.now -= 3600
    assert table.holder(sha256("k")) is None


def test_wrong_keys_cost_no_call_each(
    dynamodb: Any, table: CallersTable, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    read = table._read

    def counted_read() -> None:
        reads.append(1)
        read()

    monkeypatch.setattr(table, "_read", counted_read)
    for number in range(100):
        assert table.holder(sha256(f"wrong {number}")) is None
        clock.now += REREAD_WAIT_S / 50
    assert len(reads) == 2


def test_known_callers_stay_known_during_an_outage_and_others_get_503(
    dynamodb: Any, table: CallersTable, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    add(dynamodb, "web", "k")
    assert table.holder(sha256("k")) == "web"
    dynamodb.delete_table(TableName=TABLE)
    clock.now += FRESH_S
    with caplog.at_level(logging.WARNING):
        assert table.holder(sha256("k")) == "web"
    assert caplog.messages == ["the table of callers cannot be read: ResourceNotFoundException"]
    with pytest.raises(RequestError) as raised:
        table.holder(sha256("x"))
    assert (raised.value.status, raised.value.code) == (503, "callers_unavailable")
    assert raised.value.headers["retry-after"] == "10"
    clock.now += STALE_S
    with pytest.raises(RequestError):
        table.holder(sha256("k"))


def test_more_callers_than_a_page_holds_are_all_known(dynamodb: Any, table: CallersTable) -> None:
    # 1 MB is a page: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Scan.html
    names = ["web", "ios", "batch", "ci"]
    for name in names:
        item = {"sha256": {"S": sha256(name)}, "name": {"S": name}, "note": {"S": "x" * 390_000}}
        dynamodb.put_item(TableName=TABLE, Item=item)
    assert "LastEvaluatedKey" in dynamodb.scan(TableName=TABLE)
    assert [table.holder(sha256(name)) for name in names] == names


def test_item_that_is_no_caller_is_left_out_and_not_quoted(
    dynamodb: Any, table: CallersTable, caplog: pytest.LogCaptureFixture
) -> None:
    for item in (
        {"sha256": {"S": "a key in plain text"}, "name": {"S": "web"}},
        {"sha256": {"S": sha256("n")}},
        {"sha256": {"S": sha256("m")}, "name": {"S": "a name"}},
        {"sha256": {"S": sha256("l").upper()}, "name": {"S": "ios"}},
    ):
        dynamodb.put_item(TableName=TABLE, Item=item)
    with caplog.at_level(logging.WARNING):
        assert [table.holder(sha256(key)) for key in "nml"] == [None, None, "ios"]
    assert caplog.messages == ["the table of callers has 3 items without a name and a hash"]


def test_keys_of_the_variable_and_of_the_table_are_both_good(dynamodb: Any) -> None:
    add(dynamodb, "ios", "theirs")
    identify = identifier(Settings(caller_keys=(("web", sha256("ours")),), callers_table_name=TABLE))

    def named(key: str) -> str:
        return identify(HttpRequest("GET", "/", {}, {"x-api-key": key}, b"", ""))

    assert [named("ours"), named("theirs")] == ["web", "ios"]
    with pytest.raises(RequestError, match="caller key"):
        named("neither")


def test_request_without_a_key_reads_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    identify = identifier(Settings(callers_table_name="a table that is not there"))
    with pytest.raises(RequestError) as raised:
        identify(HttpRequest("GET", "/", {}, {}, b"", ""))
    assert raised.value.status == 401
