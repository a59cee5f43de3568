"""A page of another origin in a real browser, against every port of the local stack."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.support.clients.browser import chromium, served, skip_without_chromium
from tests.support.runtime.local_stack import LocalStack
from tests.support.transcripts.sample_transcripts import sample_transcript

skip_without_chromium()

# Every way in which a page can make a browser send a request; each promise settles with the answer.
WAYS = """
globalThis.simplePost = (url, body, type) =>
  fetch(url, { method: "POST", mode: "no-cors", body, headers: { "content-type": type } })
    .then(() => 0, () => 0);
globalThis.read = (url) => fetch(url).then((r) => r.text()).then((text) => text, () => null);
globalThis.image = (url) => new Promise((resolve) => {
  const image = new Image();
  image.onload = image.onerror = () => resolve(0);
  image.referrerPolicy = "no-referrer";
  image.src = url;
});
globalThis.form = (url, fields) => new Promise((resolve) => {
  const frame = document.createElement("iframe");
  frame.name = `frame${Math.random()}`;
  document.body.append(frame);
  const form = document.createElement("form");
  Object.assign(form, { method: "POST", action: url, target: frame.name });
  for (const [name, value] of Object.entries(fields)) {
    const input = document.createElement("input");
    Object.assign(input, { type: "hidden", name, value });
    form.append(input);
  }
  document.body.append(form);
  frame.onload = () => resolve(0);
  form.submit();
});
"""
FORM = "application/x-www-form-urlencoded"


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    with LocalStack() as running:
        yield running


@pytest.fixture(scope="module")
def foreign_browser() -> Iterator[Browser]:
    """A browser for which every name under `example` is this machine, as after DNS rebinding."""
    with chromium("--host-resolver-rules=MAP *.example 127.0.0.1") as browser:
        yield browser


@pytest.fixture
def page(foreign_browser: Browser, tmp_path: Path) -> Iterator[Page]:
    (tmp_path / "index.html").write_text(f"<body><script>{WAYS}</script>")
    with served(tmp_path) as url:
        page = foreign_browser.new_page()
        page.goto(f"http://elsewhere.example:{urlsplit(url).port}/index.html")
        yield page
        page.close()


def queues(stack: LocalStack) -> list[str]:
    return sorted(stack.client("sqs").list_queues()["QueueUrls"])


def transcripts_printed(stack: LocalStack) -> int:
    """The number of transcripts printed, including one for a request that is made here."""
    answer = httpx.get(f"{stack.url}/chatCompletion?message=hello", timeout=60, trust_env=False)
    request_id = answer.headers["x-relay-request-id"]
    assert stack.line_with(request_id).startswith("[transcript]")
    return sum(line.startswith("[transcript]") for line in stack.output)


def test_a_foreign_page_changes_nothing_in_the_aws_services(page: Page, stack: LocalStack) -> None:
    before = queues(stack)
    audit = stack.queue_url("transcripts-audit")
    page.evaluate("([url]) => simplePost(`${url}/moto-api/reset`, '', 'text/plain')", [stack.endpoint])
    for body in (
        "Action=CreateQueue&QueueName=a-pages-own&Version=2012-11-05",
        f"Action=DeleteQueue&QueueUrl={audit}&Version=2012-11-05",
    ):
        page.evaluate("(given) => simplePost(...given)", [f"{stack.endpoint}/", body, FORM])
        page.evaluate("(given) => form(...given)", [f"{stack.endpoint}/", dict(_pairs(body))])
        page.evaluate("(given) => image(...given)", [f"{stack.endpoint}/?{body}"])
        page.evaluate("(given) => image(...given)", [f"{audit}?{body}"])
    assert queues(stack) == before


def test_a_foreign_page_reads_nothing(page: Page, stack: LocalStack) -> None:
    for url in (
        f"{stack.endpoint}/moto-api/data.json",
        f"{stack.endpoint}/archive",
        f"{stack.endpoint}/?Action=ReceiveMessage&QueueUrl={stack.queue_url('transcripts')}&Version=2012-11-05",
        f"{stack.invoke_endpoint}/",
        f"{stack.url}/health",
    ):
        assert page.evaluate("(given) => read(...given)", [url]) is None, url


def test_a_foreign_page_invokes_no_function_and_forges_no_transcript(page: Page, stack: LocalStack) -> None:
    before = transcripts_printed(stack)
    url = f"{stack.invoke_endpoint}/2015-03-31/functions/publish-transcript/invocations"
    forged = sample_transcript(1, 1).to_json()
    page.evaluate("(given) => simplePost(...given)", [url, forged, "text/plain"])
    page.evaluate("(given) => form(...given)", [url, {"a": "b"}])
    assert transcripts_printed(stack) == before + 1


def test_a_foreign_page_spends_no_tokens_at_the_function_url(page: Page, stack: LocalStack) -> None:
    before = transcripts_printed(stack)
    url = f"{stack.url}/chatCompletion"
    asked = json.dumps({"messages": [{"role": "user", "content": "spend"}]})
    page.evaluate("(given) => simplePost(...given)", [url, asked, "text/plain"])
    page.evaluate("(given) => image(...given)", [f"{url}?message=spend"])
    page.evaluate("(given) => form(...given)", [url, {"message": "spend"}])
    assert page.evaluate("(given) => read(...given)", [f"{url}?message=spend"]) is None
    assert transcripts_printed(stack) == before + 1


def test_a_link_or_redirect_in_the_address_bar_reaches_no_aws_service(
    foreign_browser: Browser, stack: LocalStack
) -> None:
    before = queues(stack)
    page = foreign_browser.new_page()
    query = "Action=CreateQueue&QueueName=of-a-link&Version=2012-11-05"
    answer = page.goto(f"{stack.endpoint}/?{query}")
    assert answer is not None
    assert answer.status == 403
    assert queues(stack) == before
    page.close()


def _pairs(body: str) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (pair.partition("=") for pair in body.split("&"))]
