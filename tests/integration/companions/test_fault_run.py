"""A short fault run; `make fault-run` runs the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.network.faulty_proxy import PASSED
from tests.support.transcripts.fault_run import RunSize, fault_run, fault_run_seed

SIZE = RunSize(
    transcripts=80,
    senders=8,
    environments=8,
    companion_timeout_s=15,  # the redrive, too, has to deliver the largest transcript in it on a busy machine
    kill_pause_s=0.8,
    hurried_every=9,
    hurried_s=0.8,
)


@pytest.mark.timeout(300)  # half a minute on an idle machine
# botocore 1.x asks datetime for a naive UTC time, which Python 3.12 deprecates.
@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")
def test_no_transcript_is_lost_while_aws_calls_fail_and_processes_are_killed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "processes.log").open("w") as log:
        report = fault_run(SIZE, fault_run_seed(), log)
    with capsys.disabled():
        print(report.markdown())
    assert report.faults() == []
    # The run was hard enough: calls failed, processes were killed and large transcripts took part.
    made = sum(sum(outcomes.values()) for outcomes in report.calls.values())
    passed = sum(outcomes[PASSED] for outcomes in report.calls.values())
    assert 1 - passed / made == pytest.approx(0.3, abs=0.09)
    assert report.calls.keys() == {"lambda", "sqs", "s3", "dynamodb"}
    assert report.kills.under_way >= 3
