"""The servers that tests talk to: real processes on free loopback ports, ended by pid."""

import os
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EMULATOR_PYTHON = ROOT / ".venvs/emulator/bin/python"
START_DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True)
class EmulatorHandle:
    """A running AWS emulator: boto3 clients take `url` as their endpoint_url."""

    url: str
    process: subprocess.Popen[bytes]

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self.process.kill()
        self.process.wait()


def find_free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def run_emulator(home: Path) -> Iterator[EmulatorHandle]:
    """Run an AWS emulator of its own, its log and files under `home`, gone when the block ends."""
    port = find_free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "TMPDIR": str(home),
        "S3_DATA_DIR": str(home / "s3"),
        "GATEWAY_PORT": str(port),
        "BIND_HOST": "127.0.0.1",
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "LOG_LEVEL": "WARNING",
    }
    with (home / "emulator.log").open("wb") as log:
        command = [str(EMULATOR_PYTHON), "-m", "ministack"]
        process = subprocess.Popen(command, cwd=home, env=environment, stdout=log, stderr=log)
    try:
        _wait_until_healthy(f"http://127.0.0.1:{port}", process, home / "emulator.log")
        yield EmulatorHandle(f"http://127.0.0.1:{port}", process)
    finally:
        process.kill()
        process.wait()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/_ministack/health", timeout=1).close()
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the emulator did not start:\n{log.read_text()[-2000:]}")


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorHandle]:
    """Yield one AWS emulator for the whole session; tests give what they create names of their own."""
    with run_emulator(tmp_path_factory.mktemp("emulator")) as running:
        yield running
