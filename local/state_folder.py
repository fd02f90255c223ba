"""The folder of a local cloud, and the state that it keeps between starts."""

import fcntl
import json
import os
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO

from local.processes import RecordedProcess

ROOT = Path(__file__).resolve().parent.parent

# Below the kernel's range for outgoing connections, so that a port that was kept is still free at the next start.
FIRST_PORT = 20000
FIRST_OPEN_PORT, LAST_PORT = 1024, 65535  # below the first, only root may listen
DEFAULT_PORT = 3000
PORTS = 9000


class AlreadyRunning(Exception):
    """Another process has locked this local cloud."""


class PortInUse(Exception):
    """The requested port is taken, or needs other rights."""


class StateNotWritable(Exception):
    """The state folder can't be made or written."""


@dataclass(frozen=True)
class SavedState:
    """The saved state: ports by name, the processes started, and a hash of what was deployed."""

    ports: dict[str, int] = field(default_factory=dict)
    children: list[RecordedProcess] = field(default_factory=list)
    deployed: str = ""


@dataclass(frozen=True)
class StateFolder:
    """The checkout of one local cloud and its state folder (`.local`, or a test's own)."""

    root: Path
    path: Path

    @property
    def logs(self) -> Path:
        """Return the folder of log files, one for each process."""
        return self.path / "logs"

    @property
    def stack(self) -> Path:
        """Return the file of the deployed stack, which `local.stack` saves."""
        return self.path / "stack.json"

    @property
    def certificates(self) -> Path:
        """The folder of the certificates that the database is reached under."""
        return self.path / "certificates"

    def find_python(self, environment: str) -> str:
        """Return the Python of one of the virtual environments."""
        return str(self.root / ".venvs" / environment / "bin/python")

    def make_folders(self) -> None:
        """Create the folders."""
        self.logs.mkdir(parents=True, exist_ok=True)

    def read_state(self) -> SavedState:
        """Return the saved state; an empty one if the file is missing or broken."""
        try:
            document = json.loads((self.path / "state.json").read_text())
            return SavedState(**{**document, "children": [RecordedProcess(**item) for item in document["children"]]})
        except (OSError, ValueError, KeyError, TypeError):
            return SavedState()

    def update_state(self, **changes: object) -> SavedState:
        """Save changes of SavedState's fields; return the new state."""
        state = replace(self.read_state(), **changes)  # type: ignore[arg-type]
        draft = self.path / "state.draft"
        draft.write_text(json.dumps(asdict(state), indent=1))
        draft.replace(self.path / "state.json")
        return state

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Lock this local cloud for one process within the block. Raise AlreadyRunning, StateNotWritable."""
        with self._open_lock() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AlreadyRunning(
                    f"this local cloud is already running, {build_front_url(self.read_state())}"
                ) from None
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield

    def _open_lock(self) -> IO[str]:
        try:
            self.make_folders()
            return (self.path / "lock").open("a+")
        except OSError as error:
            raise StateNotWritable(f"the state can't be kept in {self.path}: {error.strerror}") from None

    def read_owner(self) -> int:
        """Return the pid of the process that has locked this local cloud. Raise ValueError if none ever has."""
        return int((self.path / "lock").read_text())

    def is_running(self) -> bool:
        """Return whether a process has locked this local cloud."""
        try:
            with self.lock():
                return False
        except AlreadyRunning:
            return True


def build_front_url(state: SavedState) -> str:
    """Return the URL of a running local cloud's gateway."""
    return f"http://127.0.0.1:{state.ports.get('front', 0)}"


def is_free(port: int) -> bool:
    """Return whether a loopback port can be bound now, with the options that servers use."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose_internal_ports(state_folder: StateFolder, names: list[str]) -> dict[str, int]:
    """Return a free port for each name: its former one, or the next free one from a start that depends on the path."""
    known = state_folder.read_state().ports
    chosen: dict[str, int] = {}
    start = zlib.crc32(str(state_folder.path).encode())
    candidates = (FIRST_PORT + (start + step) % PORTS for step in range(PORTS))
    for name in names:
        kept = known.get(name, 0)
        free = (port for port in candidates if port not in known.values() and is_free(port))
        chosen[name] = kept if kept and is_free(kept) else next(free)
    return chosen


def choose_front_port(port: int) -> int:
    """Return the port for the gateway; any free one for 0. Raise PortInUse."""
    if port == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])
    if not is_free(port):
        other = port + 1 if FIRST_OPEN_PORT <= port < LAST_PORT else DEFAULT_PORT
        reason = "is in use" if port >= FIRST_OPEN_PORT else "is in use, or only root may use it"
        raise PortInUse(f"port {port} {reason}. Another one: make up PORT={other}")
    return port
