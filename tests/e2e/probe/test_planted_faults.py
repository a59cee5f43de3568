"""`make probe` finds each planted fault, says what it is, and finds none where there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor

import pytest

from local.probe import access, answers, browsers, endurance
from local.probe.caller import Caller
from local.probe.checks import CHECKS, Check, probed
from local.probe.options import ProbeOptions
from local.probe.session import Session
from local.verdicts import Row, Verdict, exit_status, shown
from tests.support.network.faulty_relay import FaultyRelay, RelayFault
from tests.support.service.served_relay import ServedRelay

KEY = "a-callers-own-key"
# Comments come every second; an answer of the scripted model takes two.
SETTINGS = {
    "SCRIPTED_MODEL_WORDS_PER_S": "50",
    "KEEP_ALIVE_S": "1",
    "MAX_ENVIRONMENTS": "30",
    "CALLER_KEYS": f"web:{hashlib.sha256(KEY.encode()).hexdigest()}",
}
PROBES_AT_ONCE = 10

QUICK: tuple[Check, ...] = (access.version, access.callers, access.refusals)
WHOLE: tuple[Check, ...] = (answers.formats,)
PACE: tuple[Check, ...] = (answers.formats, answers.pacing)
UI, TEXT, SDK = "pace: UI messages", "pace: text", "pace: chat completion, streamed"

# For each fault: the checks that run, the subjects that must be at fault, and a word of one verdict's advice.
PLANTED: Mapping[RelayFault, tuple[tuple[Check, ...], set[str], str]] = {
    RelayFault.FORBIDDEN: (CHECKS, {"reachable"}, "lambda:InvokeFunction"),
    RelayFault.NOT_A_RELAY: (CHECKS, {"reachable"}, "FunctionUrl"),
    RelayFault.OTHER_VERSION: (QUICK, {"version"}, "Deploy this version"),
    RelayFault.OPEN: (QUICK, {"without a key", "a wrong key"}, "AuthMode"),
    RelayFault.HTML_ERRORS: (QUICK, {"without a key", "a wrong key", "errors"}, "replaces its errors"),
    RelayFault.ERRORS_AS_200: (QUICK, {"without a key", "a wrong key", "errors"}, "replaces its errors"),
    RelayFault.BURST: (PACE, {UI, TEXT, SDK}, "buffers"),
    RelayFault.HELD_HEAD: (PACE, {UI, TEXT, SDK}, "buffers"),
    RelayFault.GROUPED: (PACE, {UI}, "buffers"),
    RelayFault.SLOWED: (PACE, {UI}, "buffers"),
    RelayFault.COMPRESSED: ((*WHOLE, answers.compression), {"compression"}, "compresses"),
    RelayFault.CUT: (WHOLE, {"UI messages", "chat completion, streamed", "response, streamed"}, "cuts"),
    RelayFault.CUT_CLEANLY: (WHOLE, {"UI messages", "chat completion, streamed"}, "ends answers early"),
    RelayFault.REPEATED: ((*WHOLE, answers.same_words), {"the same words everywhere"}, "repeats"),
    RelayFault.CACHED: ((*WHOLE, answers.caching), {"caching"}, "must not cache"),
    RelayFault.DOUBLED_CORS: ((browsers.cross_origin,), {"CORS: your origin"}, "one place only"),
    RelayFault.FOREIGN_ORIGIN: ((browsers.cross_origin,), {"CORS: a foreign origin"}, "AllowedOrigins"),
    RelayFault.ENDLESS: ((browsers.event_source,), {"EventSource's end"}, "forever"),
    RelayFault.HANGING: ((browsers.event_source,), {"EventSource's end"}, "hangs on AWS"),
    RelayFault.NO_COMMENTS: ((endurance.keep_alive,), {"a silence of 4 s"}, "keep-alive"),
    RelayFault.IDLE_CLOSED: ((endurance.keep_alive,), {"a silence of 4 s"}, "idle limit"),
    RelayFault.SLOW_TAIL: ((endurance.large_answer,), {"an answer of 8 MB"}, "2 MB/s"),
}


def options(url: str) -> ProbeOptions:
    return ProbeOptions(url=url, key=KEY, auth="key", silence_s=4)


def rows_of(url: str, checks: tuple[Check, ...]) -> list[Row]:
    with Caller(options(url)) as caller:
        return list(probed(Session(caller), checks))


def faults_in(rows: list[Row]) -> dict[str, Row]:
    return {row.subject: row for row in rows if row.verdict is Verdict.FAULT}


@pytest.fixture(scope="module")
def probed_relay() -> Iterator[ServedRelay]:
    with ServedRelay(SETTINGS) as running:
        yield running


@pytest.fixture(scope="module")
def found(probed_relay: ServedRelay) -> dict[RelayFault | None, list[Row]]:
    """The rows for each fault, and for none: probed at the same time, since a probe mostly waits."""

    def probe(fault: RelayFault | None) -> list[Row]:
        checks = PLANTED[fault][0] if fault else CHECKS
        with FaultyRelay(probed_relay.url, fault, KEY) as relay:
            return rows_of(relay.url, checks)

    cases = [None, *PLANTED]
    with ThreadPoolExecutor(PROBES_AT_ONCE) as pool:
        return dict(zip(cases, pool.map(probe, cases), strict=True))


def test_every_fault_is_planted() -> None:
    assert set(PLANTED) == set(RelayFault)


@pytest.mark.parametrize("fault", PLANTED)
def test_planted_fault_is_found_and_the_advice_fits(
    fault: RelayFault, found: dict[RelayFault | None, list[Row]]
) -> None:
    _, subjects, advice = PLANTED[fault]
    faults = faults_in(found[fault])
    assert subjects <= faults.keys(), "\n".join(map(shown, found[fault]))
    assert any(advice in faults[subject].advice for subject in subjects), faults
    assert exit_status(found[fault]) == 1


def test_no_fault_is_found_where_there_is_none(found: dict[RelayFault | None, list[Row]]) -> None:
    rows = found[None]
    assert {row.verdict for row in rows} == {Verdict.OK}, "\n".join(map(shown, rows))
    assert exit_status(rows) == 0
    assert len(rows) > 20
