"""A stack elsewhere, driven by HTTP alone: here it is a local cloud that somebody else has started."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stress.report import store
from tests.e2e.cloud import ROOT, RunningCloud, run_cloud

LIMIT_S = 180.0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    with run_cloud(tmp_path_factory.mktemp("elsewhere")) as cloud:
        yield cloud


def drive(
    cloud: RunningCloud, out: Path, *options: str, token: str = "", said: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the harness against it; `said` is what the person at the terminal types."""
    command = [sys.executable, "-m", "stress", "run", "--target", cloud.url, "--out", str(out), *options]
    environment = {**os.environ, "STAFF_TOKEN": token}
    return subprocess.run(
        command, cwd=ROOT, env=environment, input=said, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )


def test_nothing_is_created_before_somebody_has_agreed(cloud: RunningCloud, tmp_path: Path) -> None:
    """The run first says what it will create; any answer but yes is a no."""
    before = cloud.count_rows("accounts")
    done = drive(cloud, tmp_path / "report", said="what?\n")
    assert done.returncode == 1
    assert cloud.url in done.stdout
    assert "members" in done.stdout
    assert not (tmp_path / "report").exists()
    assert cloud.count_rows("accounts") == before


def test_what_needs_no_fault_is_proved_and_audited_through_the_api(cloud: RunningCloud, tmp_path: Path) -> None:
    """Each address is looked up with a staff member's token; the mails go to SES's simulator."""
    done = drive(cloud, tmp_path / "report", "--yes", token=cloud.get_token(role="staff"))
    report = store.load(tmp_path / "report")
    broken = [(r.key, r.status, [c for c in r.checks if not c.passed]) for r in report.results if r.status != "PASS"]
    assert (done.returncode, report.verdict, broken) == (0, "PASS", []), done.stdout[-2000:] + done.stderr[-2000:]
    assert all(sum(result.reconciliation.compared.values()) > 0 for result in report.results)
    made = cloud.query_rows("SELECT email FROM accounts WHERE role IN ('member', 'agent')")
    assert made
    assert all(row["email"].endswith("@simulator.amazonses.com") for row in made)
