"""The running service against its own description: thousands of generated calls, every check, no failure."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.settings import DEFAULT_LIMITS
from tests.e2e.cloud import ROOT, RunningCloud, run_cloud
from tests.e2e.cloud_users import CloudUsers

LEAST_CALLS = 2_000
CONFIG = Path(__file__).with_name("schemathesis.toml")
SEED = 20261124
UNLIMITED = json.dumps(dict.fromkeys(DEFAULT_LIMITS, (1_000_000, 1)))
RATE = "50/s"  # below the gateway's throttles, which answer before anything else is looked at
RUN_S = 900


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCloud]:
    """Yield a local cloud whose limits do not turn generated calls away: those have tests of their own."""
    with run_cloud(tmp_path_factory.mktemp("cloud"), "--parameter", f"Limits={UNLIMITED}") as started:
        yield started


@pytest.fixture(scope="module")
def tokens(cloud: RunningCloud) -> dict[str, str]:
    """Somebody of each role; for all generated calls together every role's operations are reached."""
    people = CloudUsers(cloud)
    clients = {"admin": people.make_staff("admin"), "member": people.make_member()[1], "agent": people.make_agent()[1]}
    return {role: str(client.headers["Authorization"]) for role, client in clients.items()}


def count_answered(cloud: RunningCloud) -> int:
    """Return how many calls the functions have answered: what the gateway turns away is not counted."""
    return cloud.read_logs().count('"message":"request"')


def run(cloud: RunningCloud, folder: Path, token: str) -> int:
    """Run as one role and return how many calls were answered; fail with the output if any check fails."""
    before = count_answered(cloud)
    command = [
        *[str(ROOT / ".venvs/dev/bin/schemathesis"), "--no-color", "--config-file", str(CONFIG)],
        *["run", f"{cloud.url}/openapi.json", "--checks", "all"],
        *["--header", f"Authorization: {token}", "--seed", str(SEED), "--max-examples", "25", "--workers", "1"],
        *["--rate-limit", RATE],
    ]
    hooks = str(CONFIG.with_name("hooks.py"))
    ours = os.pathsep.join(str(ROOT / part) for part in ("layers/shared", "functions/claims"))
    environment = {**os.environ, "SCHEMATHESIS_HOOKS": hooks, "PYTHONPATH": ours}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=RUN_S, check=False
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-5_000:]
    return count_answered(cloud) - before


def test_every_check_holds_for_thousands_of_generated_calls(
    cloud: RunningCloud, tokens: dict[str, str], tmp_path: Path
) -> None:
    """They are made as admin, member and agent; afterwards the service is well, and its logs name nobody."""
    calls = {role: run(cloud, tmp_path, token) for role, token in tokens.items()}
    assert sum(calls.values()) >= LEAST_CALLS, calls
    assert cloud.make_client().get("/health").status_code == 200
    assert '"level":"ERROR"' not in cloud.read_logs()
    assert (
        cloud.find_personal_data_in_logs(least=10) == []
    )  # generated texts may be as short as a word that any log has
