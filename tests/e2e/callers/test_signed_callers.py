"""AUTH_MODE=iam: the URL verifies signatures, and the function names the caller that the URL has found.

test_url_authentication.py has the requests that the URL refuses.
"""

from __future__ import annotations

import json

import httpx

from tests.support.aws.signed_requests import signed_headers
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply, completion


def test_the_transcript_names_the_caller_who_signed(
    signed_relay: ServedRelay, replay: ReplayUpstream
) -> None:
    replay.answer("iam-model", Reply.json(completion("Gut.")))
    body = json.dumps({"model": "iam-model", "messages": [{"role": "user", "content": "hi"}]}).encode()
    url = f"{signed_relay.url}/v1/chat/completions"
    headers = signed_headers("POST", url, body, {"content-type": "application/json"})
    response = httpx.post(url, content=body, headers=headers, trust_env=False, timeout=30)
    assert response.status_code == 200
    transcript = signed_relay.transcript(response.headers["x-relay-request-id"])
    assert transcript["caller"] == "arn:aws:iam::123456789012:user/local"
    assert "AWS4-HMAC" not in str(replay.exchanges("iam-model")[-1].headers)
