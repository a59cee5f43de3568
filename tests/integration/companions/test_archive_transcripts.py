"""The archive in its own process, with an S3 client that talks to moto's server over loopback."""

from __future__ import annotations

import copy
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from chat_stream.transcripts.content import reduced
from chat_stream.transcripts.pointer import TranscriptPointer
from chat_stream.transcripts.transcript import Transcript, parse_transcript
from tests.support.documentation import blocks
from tests.support.project import PROJECT
from tests.support.runtime.handler_process import HandlerRun, client_of, run_handler

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ARCHIVE, LARGE = "archive", "large-transcripts"
DOCUMENT: dict[str, Any] = json.loads((PROJECT / "events" / "transcript.json").read_text(encoding="utf-8"))
DAY = "2026-11-22"
VIEW = PROJECT / "functions" / "archive_transcripts" / "duckdb_view.sql"
ATHENA_VIEW = VIEW.with_name("athena_view.sql")
(PER_DAY,) = blocks("sql")  # from the documentation


@pytest.fixture
def s3(moto_url: str) -> Iterator[S3Client]:
    client: S3Client = client_of("s3", moto_url)
    for bucket in (ARCHIVE, LARGE):
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    yield client
    for bucket in (ARCHIVE, LARGE):
        for key in keys(client, bucket):
            client.delete_object(Bucket=bucket, Key=key)
        client.delete_bucket(Bucket=bucket)
    client.close()


def transcript(transcript_id: str, **fields: Any) -> Transcript:
    """A transcript with this id and other fields set by path, such as `response__usage=None`."""
    document = {**copy.deepcopy(DOCUMENT), "id": transcript_id}
    for path, value in fields.items():
        *parents, name = path.split("__")
        place = document
        for parent in parents:
            place = place[parent]
        place[name] = value
    return parse_transcript(document)


def answering(transcript_id: str, text: str) -> Transcript:
    choice = {**DOCUMENT["response"]["choices"][0], "content": text}
    return transcript(transcript_id, response__choices=[choice])


def pointer_to(s3: S3Client, stored: Transcript) -> bytes:
    body = stored.to_json()
    pointer = TranscriptPointer.to(stored, body, LARGE)
    s3.put_object(Bucket=pointer.bucket, Key=pointer.key, Body=body)
    return pointer.to_json()


def record(message_id: str, body: bytes) -> dict[str, Any]:
    """An SQS record as Lambda passes it to a function (https://docs.aws.amazon.com/lambda/latest/dg/with-sqs.html)."""
    return {
        "messageId": message_id,
        "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a",
        "body": body.decode(),
        "attributes": {
            "ApproximateReceiveCount": "1",
            "SentTimestamp": "1764000000000",
            "SenderId": "AROAIENQZJOLO23YVJ4VO",
            "ApproximateFirstReceiveTimestamp": "1764000000012",
        },
        "messageAttributes": {
            "outcome": {
                "stringValue": "completed",
                "stringListValues": [],
                "binaryListValues": [],
                "dataType": "String",
            }
        },
        "md5OfBody": hashlib.md5(body, usedforsecurity=False).hexdigest(),
        "eventSource": "aws:sqs",
        "eventSourceARN": "arn:aws:sqs:eu-central-1:123456789012:archive",
        "awsRegion": "eu-central-1",
    }


def archive(endpoint: str, bodies: list[bytes], remaining_s: float = 60.0, **settings: str) -> HandlerRun:
    """Invoke the function with one batch; the messages are named m0, m1, …"""
    event = {"Records": [record(f"m{number}", body) for number, body in enumerate(bodies)]}
    environment = {"ARCHIVE_BUCKET": ARCHIVE, "AWS_ENDPOINT_URL_S3": endpoint, **settings}
    return run_handler("archive_transcripts", "archive_handler", event, environment, remaining_s)


def failures(run: HandlerRun) -> list[str]:
    assert run.status == 0, run.log
    return [failure["itemIdentifier"] for failure in run.returned["batchItemFailures"]]


def keys(s3: S3Client, bucket: str) -> list[str]:
    return [found["Key"] for found in s3.list_objects_v2(Bucket=bucket).get("Contents", []) if "Key" in found]


def test_each_transcript_becomes_one_object_of_one_line_under_its_day(s3: S3Client, moto_url: str) -> None:
    today = transcript("t-1")
    odd = transcript("no/key for S3", timings__started_at="2026-11-23T00:00:00.000Z")
    run = archive(moto_url, [today.to_json(), odd.to_json()])
    assert failures(run) == []
    hashed = hashlib.sha256(b"no/key for S3").hexdigest()
    assert keys(s3, ARCHIVE) == [
        f"transcripts/date={DAY}/t-1.jsonl",
        f"transcripts/date=2026-11-23/{hashed}.jsonl",
    ]
    stored = s3.get_object(Bucket=ARCHIVE, Key=f"transcripts/date={DAY}/t-1.jsonl")
    assert stored["ContentType"] == "application/x-ndjson"
    assert stored["Body"].read() == today.to_json() + b"\n"
    facts = [(entry["service"], entry["transcript_id"], entry["outcome"]) for entry in run.records]
    assert facts[0] == ("archive-transcripts", "t-1", "completed")


def test_a_transcript_that_is_delivered_twice_becomes_one_object(s3: S3Client, moto_url: str) -> None:
    body = transcript("t-1").to_json()
    assert failures(archive(moto_url, [body, body])) == []
    assert failures(archive(moto_url, [body])) == []
    assert keys(s3, ARCHIVE) == [f"transcripts/date={DAY}/t-1.jsonl"]


def test_for_a_pointer_the_transcript_itself_is_archived(s3: S3Client, moto_url: str) -> None:
    large = answering("t-large", "sky " * 400_000)
    assert failures(archive(moto_url, [pointer_to(s3, large)])) == []
    stored = s3.get_object(Bucket=ARCHIVE, Key=f"transcripts/date={DAY}/t-large.jsonl")
    assert stored["Body"].read() == large.to_json() + b"\n"


def test_only_the_invalid_message_of_a_batch_fails_and_its_field_is_logged(
    s3: S3Client, moto_url: str
) -> None:
    wrong = json.dumps({**DOCUMENT, "outcome": "splendid"}).encode()
    bodies = [transcript("t-0").to_json(), wrong, transcript("t-2").to_json()]
    run = archive(moto_url, bodies)
    assert failures(run) == ["m1"]
    assert keys(s3, ARCHIVE) == [f"transcripts/date={DAY}/t-{number}.jsonl" for number in (0, 2)]
    [complaint] = [entry for entry in run.records if entry["level"] == "ERROR"]
    assert complaint["message_id"] == "m1"
    assert complaint["fault"].startswith("outcome: ")


def test_an_invalid_message_alone_in_its_batch_is_reported_without_an_exception(moto_url: str) -> None:
    assert failures(archive(moto_url, [b"{}"])) == ["m0"]


def test_pointers_to_a_missing_and_to_an_overwritten_object_fail_alone(s3: S3Client, moto_url: str) -> None:
    gone = pointer_to(s3, transcript("t-gone"))
    for key in keys(s3, LARGE):
        s3.delete_object(Bucket=LARGE, Key=key)
    overwritten = pointer_to(s3, transcript("t-1"))
    [key] = keys(s3, LARGE)
    s3.put_object(Bucket=LARGE, Key=key, Body=transcript("t-2").to_json())
    run = archive(moto_url, [gone, overwritten, transcript("t-3").to_json()])
    assert failures(run) == ["m0", "m1"]
    assert keys(s3, ARCHIVE) == [f"transcripts/date={DAY}/t-3.jsonl"]
    assert [entry["fault"].partition(":")[0] for entry in run.records[:2]] == ["NoSuchKey", "pointer.sha256"]


def test_while_s3_is_down_every_message_is_reported_as_failed(s3: S3Client) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        nobody = f"http://127.0.0.1:{server.server_address[1]}"
    run = archive(nobody, [transcript(f"t-{number}").to_json() for number in range(3)])
    assert failures(run) == ["m0", "m1", "m2"]
    assert [entry["fault"] for entry in run.records] == ["EndpointConnectionError"] * 3


def test_the_batch_ends_before_the_function_times_out_when_s3_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started_at = time.monotonic()
        run = archive(endpoint, [transcript(f"t-{number}").to_json() for number in range(10)], 39.0)
        assert time.monotonic() - started_at < 39.0
    assert failures(run) == [f"m{number}" for number in range(10)]
    faults = [entry["fault"] for entry in run.records]
    assert faults == ["ReadTimeoutError"] + ["not enough time left"] * 9


def test_no_content_is_logged_even_at_debug_level(s3: S3Client, moto_url: str) -> None:
    said = answering("t-0", "a-secret-answer")
    wrong = {**DOCUMENT, "id": "t-1", "outcome": "a-secret-outcome"}
    misspelt = copy.deepcopy(DOCUMENT)
    misspelt["timings"]["started_at"] = "a-secret-moment"
    pointer = json.loads(pointer_to(s3, said))
    elsewhere = {**pointer, "pointer": {**pointer["pointer"], "bucket": "a-secret bucket"}}
    altered = {**pointer, "pointer": {**pointer["pointer"], "sha256": "0" * 64}}
    bodies = [
        said.to_json(),
        *(json.dumps(document).encode() for document in (wrong, misspelt, elsewhere, altered)),
        b'{"a-secret": ',
        b'"a-secret-string"',
        json.dumps(pointer).encode(),
    ]
    # With POWERTOOLS_DEBUG, Powertools logs what it knows of a failed record.
    run = archive(moto_url, bodies, LOG_LEVEL="DEBUG", POWERTOOLS_DEBUG="true")
    assert failures(run) == [f"m{number}" for number in range(1, 7)]
    assert "Record processing exception" in run.log
    assert "ParamValidationError" in run.log
    assert "DEBUG:botocore" not in run.log
    assert "secret" not in run.log
    assert "sky" not in run.log


@pytest.mark.parametrize("value", ["", "s3://archive", "archive/transcripts", "Archive"])
def test_an_invalid_bucket_name_fails_at_start_and_names_the_variable(value: str) -> None:
    run = archive("http://127.0.0.1:1", [b"{}"], ARCHIVE_BUCKET=value)
    assert run.status == 1
    assert "SettingsError: ARCHIVE_BUCKET" in run.last_line


def hard_transcripts() -> list[Transcript]:
    """Transcripts whose fields differ in type, which break a reader that infers types."""
    usage = DOCUMENT["response"]["usage"]
    deep: list[Any] = []
    for _ in range(500):
        deep = [deep]
    parameters = {
        "tools": [
            {"type": "function", "function": {"parameters": {"Path": 1, "path": {"type": ["string"]}}}}
        ],
        "seed": 10**300,
        "": {"a.b": [1, "two", None, {"date": 3}]},
    }
    parts = [{"type": "text", "text": "a list \u0000\u001f\ud83d\udc4b\ufffd\u2028"}]
    return [
        transcript("plain"),
        answering("emoji", 'blue \U0001f44b \ufffd \x00 \x1f \u2028 "quoted" back\\slash'),
        transcript("content-list", request__messages=[{"role": "user", "content": parts}]),
        transcript("no-content", request__messages=[{"role": "assistant", "content": None}, "odd", 3, deep]),
        transcript("parameters", request__parameters=parameters, caller=None),
        transcript("no-usage", response__usage=None, response__choices=[], outcome="failed", reason="x"),
        transcript("odd-usage", response__usage={**usage, "completion_tokens": {"text": 3}}),
        transcript("next-day", timings__started_at="2026-11-23T23:59:59.999Z"),
        reduced(transcript("without-words", timings__started_at="2026-11-23T00:00:00.000Z"), "none"),
    ]


def query(sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect() as connection:
        connection.execute(VIEW.read_text(encoding="utf-8"))
        return connection.execute(sql).fetchall()


def test_duckdb_reads_the_archive_whatever_the_transcripts_contain(
    s3: S3Client, moto_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = hard_transcripts()
    assert failures(archive(moto_url, [one.to_json() for one in hard])) == []
    long_line = answering("long-line", "blue " * 7_000_000)  # 35 MB, twice DuckDB's default limit
    assert failures(archive(moto_url, [pointer_to(s3, long_line)])) == []
    for key in keys(s3, ARCHIVE):
        (tmp_path / key).parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(ARCHIVE, key, str(tmp_path / key))
    monkeypatch.chdir(tmp_path)

    # The failed transcript and the usage that is not a number add no tokens.
    assert query(PER_DAY) == [(date(2026, 11, 22), 7, 6 * 19), (date(2026, 11, 23), 2, 2 * 19)]
    assert query("SELECT id, date FROM transcripts WHERE outcome = 'failed'") == [
        ("no-usage", date(2026, 11, 22))
    ]
    assert query("SELECT DISTINCT id FROM transcripts WHERE caller IS NULL") == [("parameters",)]
    texts = dict(query("SELECT id, response -> 'choices' -> 0 ->> 'content' FROM transcripts"))
    expected = {one.id: one.document["response"]["choices"] for one in (*hard, long_line)}
    assert texts == {name: choices[0]["content"] if choices else None for name, choices in expected.items()}
    requests = query("SELECT id, request FROM transcripts")
    assert {name: json.loads(request) for name, request in requests} == {
        one.id: one.document["request"] for one in (*hard, long_line)
    }


# A reported usage, and the counts expected from it: prompt, completion, total, cached, reasoning.
USAGES: dict[str, tuple[dict[str, Any] | None, tuple[int | None, ...]]] = {
    "chat": (
        {
            "prompt_tokens": 20,
            "completion_tokens": 9,
            "total_tokens": 29,
            "prompt_tokens_details": {"cached_tokens": 5, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 4},
        },
        (20, 9, 29, 5, 4),
    ),
    "responses": (
        {
            "input_tokens": 30,
            "input_tokens_details": {"cached_tokens": 6},
            "output_tokens": 8,
            "output_tokens_details": {"reasoning_tokens": 3},
            "total_tokens": 38,
        },
        (30, 8, 38, 6, 3),
    ),
    "without a total": ({"input_tokens": 7, "output_tokens": 2}, (7, 2, 9, None, None)),
    "DeepSeek": (
        {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6, "prompt_cache_hit_tokens": 4},
        (5, 1, 6, 4, None),
    ),
    "null details": (
        {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4, "input_tokens_details": None},
        (3, 1, 4, None, None),
    ),
    "no numbers": ({"prompt_tokens": "many", "completion_tokens": [1]}, (None,) * 5),
    "none": (None, (None,) * 5),
}
COUNTS = "id, prompt_tokens, completion_tokens, total_tokens, cached_tokens, reasoning_tokens"


def test_duckdb_counts_the_tokens_of_every_api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "transcripts" / f"date={DAY}"
    folder.mkdir(parents=True)
    for number, (name, (usage, _)) in enumerate(USAGES.items()):
        cost = {"usd": 0.25, "priced_as": "upstream"} if usage else None
        line = transcript(name, response__usage=usage).with_cost(cost).to_json()
        (folder / f"{number}.jsonl").write_bytes(line + b"\n")
    monkeypatch.chdir(tmp_path)
    counted = {name: tuple(counts) for name, *counts in query(f"SELECT {COUNTS} FROM transcripts")}
    assert counted == {name: counts for name, (_, counts) in USAGES.items()}
    assert query(PER_DAY) == [(date(2026, 11, 22), len(USAGES), 9 + 8 + 2 + 1 + 1)]
    assert query("SELECT sum(cost_usd) FROM transcripts") == [((len(USAGES) - 1) * 0.25,)]


def test_athenas_view_counts_the_same_tokens() -> None:
    """Run in DuckDB, where only one function has another name; the table has Athena's types."""
    with duckdb.connect() as connection:
        connection.execute("CREATE MACRO json_extract_scalar(text, path) AS json_extract_string(text, path)")
        connection.execute(
            "CREATE TABLE transcripts"
            " (id VARCHAR, date VARCHAR, outcome VARCHAR, caller VARCHAR, route VARCHAR,"
            " response STRUCT(model VARCHAR, usage VARCHAR), cost STRUCT(usd DOUBLE, priced_as VARCHAR))"
        )
        for name, (usage, _) in USAGES.items():
            values = [name, json.dumps(usage) if usage else None]
            connection.execute(
                "INSERT INTO transcripts VALUES (?, '2026-11-22', 'completed', 'web', '/',"
                " {'model': 'm', 'usage': ?}, {'usd': 0.25, 'priced_as': 'upstream'})",
                values,
            )
        connection.execute(ATHENA_VIEW.read_text(encoding="utf-8"))
        found = connection.execute(f"SELECT {COUNTS} FROM transcript_tokens").fetchall()
        assert connection.execute("SELECT DISTINCT cost_usd FROM transcript_tokens").fetchall() == [(0.25,)]
    assert {name: tuple(counts) for name, *counts in found} == {
        name: counts for name, (_, counts) in USAGES.items()
    }
