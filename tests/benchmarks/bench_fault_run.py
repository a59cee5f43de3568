"""The fault run: no transcript of ten thousand is lost while calls fail and processes are killed."""

from __future__ import annotations

import pytest

from tests.support.project import PROJECT
from tests.support.transcripts.fault_run import RunSize, fault_run, fault_run_seed

SIZE = RunSize(
    transcripts=10_000,
    senders=12,
    environments=24,
    companion_timeout_s=15,
    kill_pause_s=1.5,
    hurried_every=21,
    hurried_s=3.0,  # the reserve that DEADLINE_RESERVE_S keeps
)
FOLDER = PROJECT / ".local"


@pytest.mark.timeout(2 * 3600)
@pytest.mark.filterwarnings(
    "ignore:datetime.datetime.utcnow:DeprecationWarning"
)  # from botocore, on Python 3.12
def test_no_transcript_of_ten_thousand_is_lost() -> None:
    FOLDER.mkdir(exist_ok=True)
    seed = fault_run_seed()
    print(f"\nseed {seed}; what the processes print is in {FOLDER / 'fault_run.log'}", flush=True)
    with (FOLDER / "fault_run.log").open("w", encoding="utf-8") as log:
        report = fault_run(SIZE, seed, log)
    table = FOLDER / "fault_run.md"
    table.write_text(report.markdown(), encoding="utf-8")
    print(f"{report.markdown()}\nwritten to {table}")
    assert report.faults() == []
