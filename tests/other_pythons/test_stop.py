"""The local cloud, served by each supported Python, stops in time whatever is under way in it."""

import os
import re
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from local.gateway.__main__ import DRAIN_S
from local.processes import STOP_SECONDS
from local.state_folder import StateFolder
from stress.controls.checkout_copies import copy_checkout
from tests.e2e.cloud import ROOT, RunningCloud, run_cloud, wait_until
from tests.local.test_supervisor import is_family_gone, list_descendants

PROMISED_S = 3.0
FOR_THE_WORK_S = 1.0  # the emulator writes its state, PostgreSQL a checkpoint, and processes end
# On a machine that does much else. A part that does not end by itself is killed after STOP_SECONDS, which is more.
ON_A_BUSY_MACHINE_S = 10.0
SERVES = ("local", "emulator")  # the environments whose programs serve; the functions' Python is always Lambda's
USUAL = "usual"


def find_environments(version: str) -> Path:
    """Return the folder of a version's environments; skip the test if `make other-pythons` found no such Python."""
    folder = ROOT / ".venvs" / ("" if version == USUAL else f"python{version}")
    if not all((folder / name / "bin/python").exists() for name in SERVES):
        pytest.skip(f"there is no Python {version} on this machine, or nothing is installed for it")
    return folder


@contextmanager
def run_copy(folder: Path, version: str) -> Iterator[RunningCloud]:
    """Run the local cloud of a copy of the checkout, served by this version of Python."""
    environments, copy = find_environments(version), folder / "checkout"
    copy_checkout(ROOT, copy)
    for name in SERVES:
        (copy / ".venvs" / name).unlink()
        (copy / ".venvs" / name).symlink_to((environments / name).resolve())
    try:
        with run_cloud(folder / "state", root=copy, python=copy / ".venvs/local/bin/python") as cloud:
            yield cloud
    finally:
        shutil.rmtree(copy)


def list_serving_pythons(cloud: RunningCloud) -> set[str]:
    """Return which programs serve the cloud, PostgreSQL left out: names such as python3.12."""
    pids = [child.pid for child in StateFolder(ROOT, cloud.folder).read_state().children if child.name != "postgres"]
    return {Path(f"/proc/{pid}/exe").resolve().name for pid in (cloud.process.pid, *pids)}


def read_health_pool(cloud: RunningCloud) -> dict[str, Any]:
    """Return what the gateway says of the function of the health check."""
    status: dict[str, Any] = httpx.get(f"{cloud.origin}/_local/status").json()["functions"]["HealthFunction"]
    return status


def begin_a_call_that_never_ends(cloud: RunningCloud) -> None:
    """Call a function whose environments stand still, and return when the call is under way."""
    httpx.get(f"{cloud.url}/health").raise_for_status()
    for environment in read_health_pool(cloud)["environments"]:
        os.kill(environment["pid"], signal.SIGSTOP)

    def call() -> None:
        with suppress(httpx.HTTPError):  # the connection is cut at the end
            httpx.get(f"{cloud.url}/health", timeout=60)

    threading.Thread(target=call, daemon=True).start()
    wait_until(lambda: read_health_pool(cloud)["in_flight"], "the call")


@pytest.mark.parametrize("version", ["3.11", "3.12", USUAL])
def test_ctrl_c_ends_the_cloud_in_time_though_calls_are_under_way(version: str, tmp_path: Path) -> None:
    """A call that never ends, and the queues' long polls, which are always under way; nothing is said, nothing left."""
    with run_copy(tmp_path, version) as cloud:
        if version != USUAL:
            assert list_serving_pythons(cloud) == {f"python{version}"}
        begin_a_call_that_never_ends(cloud)
        family = list_descendants(cloud.process.pid)
        began = time.monotonic()
        cloud.process.send_signal(signal.SIGINT)
        rest = cloud.process.communicate(timeout=2 * STOP_SECONDS)[0]
        took_s = time.monotonic() - began
    assert (cloud.process.returncode, rest) == (0, "")
    assert took_s < ON_A_BUSY_MACHINE_S
    assert is_family_gone(family)


def test_the_waits_of_a_stop_leave_time_for_the_work() -> None:
    """The gateway gives calls some time, its event sources' included, and then the emulator; the rest is work."""
    program = (ROOT / "local/emulator_process.py").read_text(encoding="utf-8")  # imports what only its environment has
    [grace_s] = re.findall(r"^GRACE_S = ([\d.]+)", program, re.MULTILINE)
    assert DRAIN_S + float(grace_s) + FOR_THE_WORK_S <= PROMISED_S
