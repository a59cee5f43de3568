"""Each transcript is archived as a file of one line, whatever the size of the answer."""

from __future__ import annotations

import json

import httpx

from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.runtime.local_stack import LocalStack
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, answer


def test_a_transcript_becomes_a_file_of_one_json_line_in_the_folder_of_its_day(
    caller: httpx.Client, replay: ReplayUpstream, stack: LocalStack, transcripts: TranscriptQueue, model: str
) -> None:
    replay.answer(model, Reply(answer("Grüße ", "👋\n")))
    response = caller.get("/chatCompletion", params={"message": "hi", "model": model})
    request_id = response.headers["x-relay-request-id"]
    path = stack.archived_file(request_id)
    line, end, rest = path.read_text("ascii").partition("\n")
    assert (end, rest) == ("\n", "")
    assert json.loads(line) == transcripts.get(request_id)
    assert path.parent.name == f"date={json.loads(line)['timings']['started_at'][:10]}"


def test_an_answer_of_more_than_1_mib_reaches_queue_archive_and_terminal_whole(
    caller: httpx.Client, replay: ReplayUpstream, stack: LocalStack, transcripts: TranscriptQueue, model: str
) -> None:
    parts = [f"part {number}: " + "x" * 100_000 for number in range(12)]
    replay.answer(model, Reply(answer(*parts)))
    response = caller.get("/chatCompletion", params={"message": "hi", "model": model})
    assert response.text == "".join(parts)
    request_id = response.headers["x-relay-request-id"]
    assert stack.line_with(request_id).startswith("[transcript] ")

    document = transcripts.get(request_id)
    assert document["response"]["choices"][0]["content"] == response.text
    message = json.loads(transcripts.message(request_id)["Body"])
    assert set(message) == {"schema_version", "id", "pointer"}
    assert message["pointer"]["size_bytes"] > 1024 * 1024
    assert json.loads(stack.archived_file(request_id).read_text("ascii")) == document
