"""A page of another origin in a browser, with the headers that SDKs and tracing libraries add to requests."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import Page

from local.template import properties_of
from tests.support.clients.browser import served, skip_without_chromium
from tests.support.service.served_relay import ServedRelay

skip_without_chromium()

SDKS = "openai-beta idempotency-key x-client-request-id x-stainless-retry-count http-referer x-title"
TRACING = "traceparent tracestate baggage sentry-trace b3 x-b3-traceid newrelic elastic-apm-traceparent"
DATADOG = "x-datadog-trace-id x-datadog-parent-id x-datadog-origin x-datadog-sampling-priority x-datadog-tags"
LISTED = properties_of("StreamChatFunctionUrl")["Cors"]["AllowHeaders"][:-1]  # the last is *
OF_THE_APP = "x-tenant x-a-header-of-tomorrow"

FETCH = """([url, names]) => fetch(url, {
  headers: Object.fromEntries(names.map((name) => [name, "1"])),
}).then((answer) => answer.status)"""


def test_a_page_of_another_origin_may_send_these_headers_with_its_key(
    page: Page, relay: ServedRelay, tmp_path: Path
) -> None:
    (tmp_path / "index.html").write_text("<!doctype html><link rel=icon href=data:,>", encoding="utf-8")
    with served(tmp_path) as url:
        page.goto(url)
    for names in (SDKS, TRACING, DATADOG, OF_THE_APP, " ".join(LISTED)):
        sent = ["authorization", *names.split()]
        assert page.evaluate(FETCH, [f"{relay.url}/health", sent]) == 200, names
