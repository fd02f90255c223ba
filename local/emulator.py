"""The AWS emulator on loopback: its process, its environment and its state."""

import contextlib
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from local.processes import ChildProcess, spawn

REGION = "eu-central-1"
READY_SECONDS = 30.0
PROGRAM = Path(__file__).with_name("emulator_process.py")

# The emulator is one process and stands for services that share no processor with the functions. Among fifty busy
# environments it would get a fiftieth of two processors, and a rate limit would wait a second for DynamoDB. At -10 it
# weighs as much as nine of them.
NICE = -10


@dataclass(frozen=True)
class Emulator:
    """One emulator. `python` belongs to the environment it is installed in; `folder` has its state.

    `checkpoints`: whether it writes its state while it runs, which pauses it for up to a second when there is much
    state.
    """

    folder: Path
    port: int
    log: Path
    python: str
    checkpoints: bool = True

    @property
    def url(self) -> str:
        """Return the endpoint of every service."""
        return f"http://127.0.0.1:{self.port}"


def start(emulator: Emulator) -> ChildProcess:
    """Start the emulator; return before it is ready."""
    (emulator.folder / "tmp").mkdir(parents=True, exist_ok=True)
    return spawn(
        "emulator",
        [emulator.python, "-I", "-u", str(PROGRAM)],
        log=emulator.log,
        cwd=emulator.folder,
        env=build_environment(emulator),
        prepare=raise_priority,
    )


def raise_priority() -> None:
    """Raise this process's priority above the functions'; without permission nothing changes."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, max(os.getpriority(os.PRIO_PROCESS, 0) + NICE, -20))


def build_environment(emulator: Emulator) -> dict[str, str]:
    """Return all environment variables of the emulator: of this machine's only the path."""
    folder = emulator.folder
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": str(emulator.port),
        "MINISTACK_HOST": "127.0.0.1",
        "MINISTACK_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        # the key the functions sign with (local/runtime/variables.py): presigned links are verified against it
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "PERSIST_STATE": "1",
        "STATE_DIR": str(folder / "state"),
        "S3_PERSIST": "1",
        "S3_DATA_DIR": str(folder / "s3"),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        # in a Docker that it finds it would remove containers, because it takes them for its own
        "DOCKER_HOST": f"unix://{folder}/no-docker",
        "LOG_LEVEL": "WARNING",
        "CHECKPOINTS": "1" if emulator.checkpoints else "0",
    }


def is_ready(emulator: Emulator) -> bool:
    """Return whether the emulator answers."""
    try:
        urllib.request.urlopen(f"{emulator.url}/_ministack/ready", timeout=1).close()  # noqa: S310
    except (urllib.error.URLError, OSError):
        return False
    return True
