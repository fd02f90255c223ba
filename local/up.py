"""`make up`: starts the parts in their order, watches them, and ends them all."""

import contextlib
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import FrameType

from local import deploy, emulator, postgres, standby, unprivileged
from local.build import build_layer
from local.certificates import certificates_in
from local.children import Child, Crashed, end_leftovers, spawn
from local.home import Home, front_port, internal_ports
from local.readback import read_stack
from local.stack import Stack
from local.template import code_folders, read_template

LISTENING_SECONDS = 30.0
LOG_BYTES = 5_000_000  # a log that has grown past this moves to <name>.1 at the next start
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Stopped(BaseException):
    """The person or the system asked to stop."""


class MigrationFailed(Exception):
    """The migrations did not apply; the message has the reason."""


@dataclass(frozen=True)
class Extras:
    """The optional parts of a run.

    `database_proxy`: whether the functions reach the database through the stand-in for RDS Proxy, as in production.
    `variables`: more for the functions' environment, as `local.runtime.variables` reads them. `standby`: whether the
    database has one. `checkpoints`: whether the emulator writes its state while it runs.
    """

    database_proxy: bool = True
    variables: Sequence[str] = ()
    standby: bool = False
    checkpoints: bool = True


@dataclass
class Supervisor:
    """The parts of one local cloud, in the order they were started."""

    home: Home
    front: int
    overrides: dict[str, str] = field(default_factory=dict)
    extras: Extras = field(default_factory=Extras)
    children: list[Child] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"{time.monotonic() - self.began:5.1f} s  {text}", flush=True)

    def add(self, child: Child) -> Child:
        """Watches a started part, and remembers it for the case that we are killed."""
        self.children.append(child)
        self.home.update(children=[each.leftover() for each in self.children])
        return child

    def check(self) -> None:
        """Raises Crashed where a part has ended."""
        for child in self.children:
            child.check()

    def stop(self) -> None:
        """Ends all parts, the last started first."""
        for child in reversed(self.children):
            child.stop()
        self.home.update(children=[])


def up(home: Home, port: int, overrides: dict[str, str] | None = None, extras: Extras | None = None) -> None:
    """Runs a local cloud until it is asked to stop or a part crashes; `overrides` are parameters of the template.

    Raises AlreadyRunning, PortInUse, Crashed, and what the parts' own modules raise.
    """
    with home.locked():
        for name in end_leftovers(home.read().children):
            print(f"ended {name}, left by an earlier run", flush=True)
        supervisor = Supervisor(home, front_port(port), overrides or {}, extras or Extras())
        with interruptible(), contextlib.suppress(Stopped):
            run(supervisor)


@contextmanager
def interruptible() -> Iterator[None]:
    """Turns the signals that ask us to stop into Stopped, and puts the former handlers back at the end."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Stopped

    former = {number: signal.signal(number, stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def run(supervisor: Supervisor) -> None:
    """Starts everything, says so, and waits for the end of any part. Raises Crashed."""
    try:
        start(supervisor)
        print(ready_line(supervisor.front), flush=True)
        watch(supervisor.children)
    except (Stopped, Crashed):
        raise
    except Exception:
        supervisor.check()  # a part that is gone is the better explanation
        raise
    finally:
        with deaf():
            supervisor.stop()


@contextmanager
def deaf() -> Iterator[None]:
    """Ignores further requests to stop: the stop is under way, and has its own time limit."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    yield


def ready_line(port: int) -> str:
    """The last line of a start."""
    front = f"http://127.0.0.1:{port}"
    return f"ready  {front}/api   docs {front}/api/docs   mail {front}/_local/mail"


def start(supervisor: Supervisor) -> None:
    """Starts the parts in their order; returns when the front takes calls."""
    home = supervisor.home
    home.prepare()
    rotate(home.logs)
    ports = internal_ports(home, wanted_ports(supervisor.extras))
    home.update(ports={**ports, "front": supervisor.front})
    server, aws = parts(home, ports)
    aws = replace(aws, checkpoints=supervisor.extras.checkpoints)
    standby.forget(server)
    database = supervisor.add(postgres.start(server))
    cloud = supervisor.add(emulator.start(aws))
    layer = build_layer(home.root, home.python("lambda"), say=supervisor.say)
    database.wait_until(postgres.is_ready(server, database), postgres.READY_SECONDS)
    supervisor.say("postgres is ready")
    cloud.wait_until(lambda: emulator.is_ready(aws), emulator.READY_SECONDS)
    supervisor.say("emulator is ready")
    bring_up_to_date(supervisor, aws, layer, database_port=ports.get("database_proxy", server.port))
    connections = connection_limit(home)
    migrate(home, server, layer, connections)
    supervisor.say("database is migrated")
    if supervisor.extras.standby:
        start_standby(supervisor, server, ports["standby"])
    if supervisor.extras.database_proxy:
        start_database_proxy(supervisor, ports, connections)
    start_gateway(supervisor)


def wanted_ports(extras: Extras) -> list[str]:
    """The parts that need a port, the front excepted."""
    proxy = ["database_proxy", "database_proxy_control"] if extras.database_proxy else []
    return ["postgres", "emulator", *proxy, *(["standby"] if extras.standby else [])]


def parts(home: Home, ports: dict[str, int]) -> tuple[postgres.Server, emulator.Emulator]:
    """The two servers as this home has them."""
    runner = unprivileged.choose(postgres.installed_binaries(), home.folder / "postgres")
    server = postgres.Server(runner.folder, ports["postgres"], home.logs / "postgres.log", runner)
    aws = emulator.Emulator(
        home.folder / "emulator", ports["emulator"], home.logs / "emulator.log", home.python("emulator")
    )
    return server, aws


def bring_up_to_date(supervisor: Supervisor, aws: emulator.Emulator, layer: Path, *, database_port: int) -> None:
    """Deploys the template where it, its parameters or the emulator's state have changed since the last time.

    `database_port` is where the functions find the database.
    """
    home, clients = supervisor.home, deploy.Clients(aws.url)
    template = (home.root / "template.yaml").read_text()
    front = f"http://127.0.0.1:{supervisor.front}"
    # PostgreSQL itself has no TLS here: its package is built without.
    authority = certificates_in(home.certificates).authority if supervisor.extras.database_proxy else None
    given = deploy.parameters(database_port=database_port, front=front, authority=authority)
    parameters = given | supervisor.overrides
    wanted = deploy.fingerprint(template, parameters, aws.url)
    if home.read().deployed == wanted and home.stack.exists() and deploy.is_deployed(clients):
        supervisor.say("stack is up to date")
        return
    deploy.deploy(clients, template, parameters)
    read_stack(clients, code_folders(read_template(template), home.root), [layer]).save(home.stack)
    home.update(deployed=wanted)
    supervisor.say("stack is deployed")


def connection_limit(home: Home) -> int:
    """Return the connections that the deployed functions may have together: their setting DB_MAX_CONNECTIONS."""
    functions = Stack.load(home.stack).functions
    return min(int(function.environment["DB_MAX_CONNECTIONS"]) for function in functions)


def migrate(home: Home, server: postgres.Server, layer: Path, connections: int) -> str:
    """Applies the migrations by the layer's own command; returns what it says. Raises MigrationFailed."""
    command = [home.python("lambda"), "-m", "shared.database.migrate"]
    command += [str(layer / "migrations"), server.dsn(), str(connections)]
    environment = {"PYTHONPATH": str(layer / "python"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MigrationFailed(f"the migrations failed:\n{done.stdout}{done.stderr[-3000:]}")
    return done.stdout


def start_standby(supervisor: Supervisor, writer: postgres.Server, port: int) -> None:
    """Starts a copy of the database that can take over, and has the database's commits wait for it."""
    log = supervisor.home.logs / "standby.log"
    server = postgres.Server(writer.folder / "standby", port, log, writer.runner)
    child = supervisor.add(standby.start(writer, server))
    child.wait_until(postgres.is_ready(server, child), postgres.READY_SECONDS)
    standby.synchronise(writer)
    child.wait_until(lambda: standby.is_synchronous(writer), postgres.READY_SECONDS)
    supervisor.say("standby is ready")


def start_database_proxy(supervisor: Supervisor, ports: dict[str, int], connections: int) -> None:
    """Starts what stands for RDS Proxy, between the functions and the database."""
    options = {
        "--port": ports["database_proxy"],
        "--control": ports["database_proxy_control"],
        "--target": ports["postgres"],
        "--max-connections": connections,
        "--certificates": supervisor.home.certificates,
    }
    start_listener(supervisor, "database_proxy", [str(part) for option in options.items() for part in option])
    supervisor.say("database proxy is ready")


def start_gateway(supervisor: Supervisor) -> None:
    """Starts the front."""
    home = supervisor.home
    options = ["--stack", str(home.stack), "--port", str(supervisor.front), "--logs", str(home.logs)]
    options += [f"--variable={each}" for each in supervisor.extras.variables]
    start_listener(supervisor, "gateway", options)


def start_listener(supervisor: Supervisor, name: str, options: list[str]) -> None:
    """Starts one of our own servers, `local.<name>`, and waits for its word."""
    home = supervisor.home
    log = home.logs / f"{name}.log"
    before = log.stat().st_size if log.exists() else 0
    command = [home.python("local"), "-m", f"local.{name}", *options]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
    child = supervisor.add(spawn(name, command, log=log, cwd=home.root, env=environment))
    child.wait_until(lambda: says_listening(log, before), LISTENING_SECONDS)


def says_listening(log: Path, start: int) -> bool:
    """Whether the log, from a byte on, has a server's `listening` line."""
    with log.open("rb") as lines:
        lines.seek(start)
        return any(line.split()[:1] == [b"listening"] for line in lines)


def rotate(logs: Path) -> None:
    """Moves logs that have grown large out of the way."""
    for log in logs.glob("*.log"):
        if log.stat().st_size > LOG_BYTES:
            shutil.move(log, log.with_name(f"{log.name}.1"))


def watch(children: list[Child]) -> None:
    """Waits until a part ends. Raises Crashed then."""
    ended: queue.SimpleQueue[Child] = queue.SimpleQueue()
    for child in children:
        threading.Thread(target=report_end, args=(child, ended), daemon=True, name=child.name).start()
    ended.get().check()


def report_end(child: Child, ended: "queue.SimpleQueue[Child]") -> None:
    """Waits for a part's end and reports it."""
    child.process.wait()
    ended.put(child)
