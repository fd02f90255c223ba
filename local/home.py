"""Where a local cloud keeps its things, and what it remembers from one start to the next."""

import fcntl
import json
import socket
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from local.children import Leftover

ROOT = Path(__file__).resolve().parent.parent

# Below the range the kernel takes for outgoing connections, so that a port kept over a restart is still free then.
FIRST_PORT = 20000
PORTS = 9000


class AlreadyRunning(Exception):
    """Another process holds this local cloud."""


class PortInUse(Exception):
    """The port that was asked for is taken."""


@dataclass(frozen=True)
class State:
    """The remembered state: ports by part's name, the processes started, and what was deployed (a hash)."""

    ports: dict[str, int] = field(default_factory=dict)
    children: list[Leftover] = field(default_factory=list)
    deployed: str = ""


@dataclass(frozen=True)
class Home:
    """One local cloud: its checkout and its state folder (`.local`, unless a test has its own)."""

    root: Path
    folder: Path

    @property
    def logs(self) -> Path:
        """The folder of log files, one per part."""
        return self.folder / "logs"

    @property
    def stack(self) -> Path:
        """The deployed stack, as `local.stack` saves it."""
        return self.folder / "stack.json"

    @property
    def certificates(self) -> Path:
        """The folder of the certificates that the database is reached under."""
        return self.folder / "certificates"

    def python(self, environment: str) -> str:
        """The Python of one of the virtual environments."""
        return str(self.root / ".venvs" / environment / "bin/python")

    def prepare(self) -> None:
        """Makes the folders."""
        self.logs.mkdir(parents=True, exist_ok=True)

    def read(self) -> State:
        """Return what is remembered; nothing where the file is missing or broken."""
        try:
            document = json.loads((self.folder / "state.json").read_text())
            return State(**{**document, "children": [Leftover(**item) for item in document["children"]]})
        except (OSError, ValueError, KeyError, TypeError):
            return State()

    def update(self, **changes: object) -> State:
        """Remembers changes to the fields of State."""
        state = replace(self.read(), **changes)  # type: ignore[arg-type]
        draft = self.folder / "state.draft"
        draft.write_text(json.dumps(asdict(state), indent=1))
        draft.replace(self.folder / "state.json")
        return state

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Holds this local cloud for one process. Raises AlreadyRunning."""
        self.prepare()
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise AlreadyRunning(f"this local cloud is already running, {front_of(self.read())}") from None
            yield

    def is_running(self) -> bool:
        """Whether a process holds this local cloud."""
        try:
            with self.locked():
                return False
        except AlreadyRunning:
            return True


def front_of(state: State) -> str:
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


def internal_ports(home: Home, names: list[str]) -> dict[str, int]:
    """A free port for each part: the one it had, or the next free one from a start that differs by state folder."""
    known = home.read().ports
    chosen: dict[str, int] = {}
    start = zlib.crc32(str(home.folder).encode())
    candidates = (FIRST_PORT + (start + step) % PORTS for step in range(PORTS))
    for name in names:
        kept = known.get(name, 0)
        free = (port for port in candidates if port not in known.values() and is_free(port))
        chosen[name] = kept if kept and is_free(kept) else next(free)
    return chosen


def front_port(port: int) -> int:
    """The port the front shall have; 0 asks for any free one. Raises PortInUse."""
    if port == 0:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])
    if not is_free(port):
        raise PortInUse(f"port {port} is in use. Another one: make up PORT={port + 1}")
    return port
