"""The whole service over sockets: caller, function URL, runtime processes, upstream, companion, queues."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page

from tests.support.aws.transcript_queue import TranscriptQueue
from tests.support.clients.browser import WIDE, Tab, chromium
from tests.support.clients.client_scenarios import MODELS
from tests.support.clients.frontend import DEFAULT_MODEL, Build, Frontend, frontends
from tests.support.clients.playground import Playground
from tests.support.documentation import CALLER_KEY
from tests.support.runtime.local_stack import LocalStack
from tests.support.service.served_relay import ServedRelay
from tests.support.upstreams.replay_upstream import ReplayUpstream, Reply

OPENAI_KEY = "sk-the-relays-own-key"


@pytest.fixture(scope="session")
def replay() -> Iterator[ReplayUpstream]:
    with ReplayUpstream() as upstream:
        listed = [{"id": model, "object": "model", "created": 1, "owned_by": "replay"} for model in MODELS]
        upstream.answer("/v1/models", Reply.json({"object": "list", "data": listed}))
        yield upstream


@pytest.fixture(scope="session")
def stack(replay: ReplayUpstream) -> Iterator[LocalStack]:
    """One local stack in front of the replayed upstream, for journeys to the queues."""
    settings = {"OPENAI_BASE_URL": replay.url, "OPENAI_API_KEY": OPENAI_KEY}
    with LocalStack(settings) as running:
        yield running


@pytest.fixture(scope="session")
def relay(replay: ReplayUpstream) -> Iterator[ServedRelay]:
    """The function behind its URL without the queues, for journeys that end with the caller."""
    # A relay notices at its next write, perhaps of a comment, that a caller has left a silent stream.
    settings = {"OPENAI_BASE_URL": replay.url, "OPENAI_API_KEY": OPENAI_KEY, "KEEP_ALIVE_S": "1"}
    with ServedRelay(settings) as running:
        yield running


@pytest.fixture(scope="session")
def transcripts(stack: LocalStack) -> Iterator[TranscriptQueue]:
    with TranscriptQueue(stack.endpoint, stack.queue_url("transcripts")) as queue:
        yield queue


@pytest.fixture
def caller(stack: LocalStack) -> Iterator[httpx.Client]:
    """An HTTP client with the function URL as its base."""
    with httpx.Client(base_url=stack.url, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture
def model(request: pytest.FixtureRequest) -> str:
    """A model name for this test only, by which the upstream chooses its answer."""
    return str(request.node.name)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One for each module: while Playwright runs, `asyncio.run` cannot be called in this process."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="module")
def tab(browser: Browser) -> Tab:
    return Tab(browser.new_context(**WIDE))


@pytest.fixture
def page(tab: Tab, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that is checked when the test ends; the marker `console_may_say` allows console messages."""
    marker = request.node.get_closest_marker("console_may_say")
    yield tab.page
    tab.leave(marker.args if marker else ())


@pytest.fixture
def playground(page: Page, relay: ServedRelay, model: str) -> Playground:
    """The playground, set to the model of this test."""
    return Playground(page, relay.url, model).open()


@pytest.fixture(scope="session")
def keyed_relay(replay: ReplayUpstream) -> Iterator[ServedRelay]:
    """A relay whose callers need CALLER_KEY."""
    keys = f"web:{hashlib.sha256(CALLER_KEY.encode()).hexdigest()}"
    settings = {"OPENAI_BASE_URL": replay.url, "OPENAI_API_KEY": OPENAI_KEY, "CALLER_KEYS": keys}
    with ServedRelay(settings) as running:
        yield running


@pytest.fixture(scope="session")
def signed_relay(replay: ReplayUpstream) -> Iterator[ServedRelay]:
    """A relay whose URL admits only requests with AWS's signature."""
    with ServedRelay({"OPENAI_BASE_URL": replay.url, "AUTH_MODE": "iam"}) as running:
        yield running


@pytest.fixture(scope="module")
def build_frontend(keyed_relay: ServedRelay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    with frontends(tmp_path_factory.mktemp("frontend"), keyed_relay.url) as build:
        yield build


@pytest.fixture(scope="module", params=["19"])
def frontend(request: pytest.FixtureRequest, build_frontend: Build) -> Frontend:
    """The frontend with React 19; tests of what React itself decides are marked `each_react`."""
    return build_frontend(request.param)


@pytest.fixture
def say(replay: ReplayUpstream) -> Callable[..., int]:
    """Set how the default model answers from now on. Returns the number of requests before."""

    def set_reply(*replies: Reply) -> int:
        asked = len(replay.exchanges(DEFAULT_MODEL))
        earlier = [replies[0]] * asked  # the upstream counts replies from its first request on
        replay.answer(DEFAULT_MODEL, *earlier, *replies)
        return asked

    return set_reply
