"""The queues, buckets and tables that the local stack makes at moto's server, and the archive folder."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest

from local.aws.archive_folder import ArchiveFolder
from local.aws.services import (
    ARCHIVE,
    ARCHIVE_BUCKET,
    AUDIT,
    CONSOLE,
    DELIVERY_TABLE,
    LIMITS_TABLE,
    TRANSCRIPTS,
    UNDELIVERED,
    AwsServices,
    AwsServicesError,
    dead_letters_of,
    queue_url,
)


@pytest.fixture(scope="module")
def aws(moto_url: str) -> AwsServices:
    services = AwsServices(moto_url)

    async def make() -> None:
        await services.connect()
        await services.make_resources()

    asyncio.run(make())
    return services


@pytest.fixture(scope="module")
def clients(aws: AwsServices) -> Iterator[dict[str, Any]]:
    options: Any = {
        "endpoint_url": aws.endpoint,
        "region_name": "us-east-1",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
    }
    made = {name: boto3.client(name, **options) for name in ("sqs", "s3", "dynamodb")}
    yield made
    for client in made.values():
        client.close()


@pytest.mark.parametrize("name", [TRANSCRIPTS, AUDIT, ARCHIVE])
def test_each_consumers_queue_has_its_own_dead_letter_queue(
    aws: AwsServices, clients: dict[str, Any], name: str
) -> None:
    url = queue_url(aws.endpoint, name)
    attributes = clients["sqs"].get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    policy = json.loads(attributes["RedrivePolicy"])
    assert policy["deadLetterTargetArn"].rpartition(":")[2] == dead_letters_of(name)
    assert int(policy["maxReceiveCount"]) == 5


@pytest.mark.parametrize("name", [TRANSCRIPTS, AUDIT, ARCHIVE, CONSOLE, UNDELIVERED])
def test_each_queue_accepts_a_message_of_1_mib_and_returns_it_whole(aws: AwsServices, name: str) -> None:
    async def round_trip() -> None:
        await aws.send(name, "x" * 1024 * 1024)
        (message,) = await aws.receive(name)
        assert len(message["Body"]) == 1024 * 1024
        await aws.delete(name, [message["ReceiptHandle"]])

    asyncio.run(round_trip())


@pytest.mark.parametrize("name", [DELIVERY_TABLE, LIMITS_TABLE])
def test_a_table_has_the_key_that_its_function_uses(clients: dict[str, Any], name: str) -> None:
    table = clients["dynamodb"].describe_table(TableName=name)["Table"]
    assert table["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]
    life = clients["dynamodb"].describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    assert life == {"TimeToLiveStatus": "ENABLED", "AttributeName": "expires_at"}


def test_the_failure_of_a_server_that_is_gone_quotes_its_last_lines() -> None:
    services = AwsServices("http://127.0.0.1:9", ["its last line"])  # where nothing listens

    async def ask() -> None:
        await services.connect()
        await services.receive(TRANSCRIPTS)

    with pytest.raises(AwsServicesError, match=r"does not answer: .*\nits last line"):
        asyncio.run(ask())


class Mirror:
    """The folder of the archive, and a bucket to put objects into."""

    def __init__(self, aws: AwsServices, s3: Any, folder: Path) -> None:
        self.folder = folder
        self.lines: list[str] = []
        self._s3 = s3
        self._archive = ArchiveFolder(folder, aws, self.lines.append)

    def put(self, key: str, body: bytes) -> None:
        self._s3.put_object(Bucket=ARCHIVE_BUCKET, Key=key, Body=body)

    def keys(self) -> list[str]:
        found = self._s3.list_objects_v2(Bucket=ARCHIVE_BUCKET).get("Contents", [])
        return [entry["Key"] for entry in found]

    def update(self) -> None:
        asyncio.run(self._archive.update())

    def files(self) -> dict[str, bytes]:
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_bytes() for path in found}

    def empty_bucket(self) -> None:
        for key in self.keys():
            self._s3.delete_object(Bucket=ARCHIVE_BUCKET, Key=key)


@pytest.fixture
def mirror(aws: AwsServices, clients: dict[str, Any], tmp_path: Path) -> Iterator[Mirror]:
    mirror = Mirror(aws, clients["s3"], tmp_path / "archive")
    mirror.folder.mkdir()
    yield mirror
    mirror.empty_bucket()


def test_the_folder_has_the_objects_of_the_bucket_at_the_same_paths(mirror: Mirror) -> None:
    mirror.put("transcripts/date=2026-11-22/a.jsonl", b"one\n")
    mirror.update()
    mirror.put("transcripts/date=2026-11-23/b.jsonl", b"two\n")
    mirror.update()
    assert mirror.files() == {
        "transcripts/date=2026-11-22/a.jsonl": b"one\n",
        "transcripts/date=2026-11-23/b.jsonl": b"two\n",
    }
    assert mirror.lines == []


def test_only_new_and_changed_objects_are_downloaded(mirror: Mirror) -> None:
    mirror.put("a.jsonl", b"one\n")
    mirror.update()
    (mirror.folder / "a.jsonl").unlink()
    mirror.put("b.jsonl", b"two\n")
    mirror.update()
    assert mirror.files() == {"b.jsonl": b"two\n"}
    mirror.put("a.jsonl", b"changed\n")
    mirror.update()
    assert mirror.files() == {"a.jsonl": b"changed\n", "b.jsonl": b"two\n"}


def test_files_of_earlier_runs_stay(mirror: Mirror) -> None:
    (mirror.folder / "earlier.jsonl").write_bytes(b"zero\n")
    mirror.put("a.jsonl", b"one\n")
    mirror.update()
    assert mirror.files() == {"earlier.jsonl": b"zero\n", "a.jsonl": b"one\n"}


def test_an_object_that_cannot_be_a_file_is_reported_once_and_does_not_stop_the_others(
    mirror: Mirror,
) -> None:
    mirror.put("../outside.jsonl", b"no\n")
    mirror.put("a", b"one\n")
    mirror.put("a/b.jsonl", b"below a file\n")
    mirror.put("z.jsonl", b"last\n")
    mirror.update()
    mirror.update()
    assert mirror.files() == {"a": b"one\n", "z.jsonl": b"last\n"}
    assert not (mirror.folder.parent / "outside.jsonl").exists()
    assert [line.partition(":")[0] for line in mirror.lines] == [
        "[archive] ../outside.jsonl is in the bucket only",
        "[archive] a/b.jsonl is in the bucket only",
    ]
