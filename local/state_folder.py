"""Where a local cloud keeps its things, and what it remembers from one start to the next."""

import fcntl
import json
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from local.processes import RecordedProcess

ROOT = Path(__file__).resolve().parent.parent

# Below the range the kernel takes for outgoing connections, so that a port kept over a restart is still free then.
FIRST_PORT = 20000
PORTS = 9000


class AlreadyRunning(Exception):
    """Another process holds this local cloud."""


class PortInUse(Exception):
    """The port that was asked for is taken."""


@dataclass(frozen=True)
class SavedState:
    """The remembered state: ports by part's name, the processes started, and what was deployed (a hash)."""

    ports: dict[str, int] = field(default_factory=dict)
    children: list[RecordedProcess] = field(default_factory=list)
    deployed: str = ""


@dataclass(frozen=True)
class StateFolder:
    """One local cloud: its checkout and its state folder (`.local`, unless a test has its own)."""

    root: Path
    path: Path

    @property
    def logs(self) -> Path:
        """The folder of log files, one per part."""
        return self.path / "logs"

    @property
    def stack(self) -> Path:
        """The deployed stack, as `local.stack` saves it."""
        return self.path / "stack.json"

    @property
    def certificates(self) -> Path:
        """The folder of the certificates that the database is reached under."""
        return self.path / "certificates"

    def find_python(self, environment: str) -> str:
        """The Python of one of the virtual environments."""
        return str(self.root / ".venvs" / environment / "bin/python")

    def make_folders(self) -> None:
        """Makes the folders."""
        self.logs.mkdir(parents=True, exist_ok=True)

    def read_state(self) -> SavedState:
        """Return what is remembered; nothing where the file is missing or broken."""
        try:
            document = json.loads((self.path / "state.json").read_text())
            return SavedState(**{**document, "children": [RecordedProcess(**item) for item in document["children"]]})
        except (OSError, ValueError, KeyError, TypeError):
            return SavedState()

    def update_state(self, **changes: object) -> SavedState:
        """Remembers changes to the fields of State."""
        state = replace(self.read_state(), **changes)  # type: ignore[arg-type]
        draft = self.path / "state.draft"
        draft.write_text(json.dumps(asdict(state), indent=1))
        draft.replace(self.path / "state.json")
        return state

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds this local cloud for one process. Raises AlreadyRunning."""
        self.make_folders()
        with (self.path / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AlreadyRunning(
                    f"this local cloud is already running, {build_front_url(self.read_state())}"
                ) from None
            yield

    def is_running(self) -> bool:
        """Whether a process holds this local cloud."""
        try:
            with self.lock():
                return False
        except AlreadyRunning:
            return True


def build_front_url(state: SavedState) -> str:
    """Return where the front of a running local cloud answers."""
    return f"http://127.0.0.1:{state.ports.get('front', 0)}"


def is_free(port: int) -> bool:
    """Whether a loopback port can be bound now, as servers bind it."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose_internal_ports(state_folder: StateFolder, names: list[str]) -> dict[str, int]:
    """A free port for each part: the one it had, or the next free one from a start that differs by state folder."""
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
    """The port the front shall have; 0 asks for any free one. Raises PortInUse."""
    if port == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])
    if not is_free(port):
        raise PortInUse(f"port {port} is in use. Another one: make up PORT={port + 1}")
    return port
