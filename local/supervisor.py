"""`make up`: start all parts in order, watch them, and end them."""

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
from datetime import datetime
from pathlib import Path
from types import FrameType

from local import backups, deploy, emulator, postgres, standby, unprivileged
from local.certificates import ensure_certificates
from local.known_writer import forget_writer
from local.layer_build import build_layer
from local.processes import ChildProcess, ProcessCrashed, end_recorded, spawn
from local.source_watch import note_files, watch_sources
from local.stack import Stack
from local.stack_reader import read_stack
from local.state_folder import StateFolder, choose_front_port, choose_internal_ports
from local.template import list_code_folders, read_template

LISTENING_SECONDS = 30.0
LOG_BYTES = 5_000_000  # a log that has grown past this moves to <name>.1 at the next start
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(BaseException):
    """The user or the system asked the local cloud to stop.

    A BaseException, so that no `except Exception` takes it for a failure.
    """


class MigrationFailed(Exception):
    """The migrations failed; the message has the reason."""


@dataclass(frozen=True)
class UpOptions:
    """The optional parts of a run.

    `database_proxy`: whether the functions reach the database through the stand-in for RDS Proxy, as in production.
    `variables`: additions to the functions' environment, NAME=VALUE or FunctionLogicalId:NAME=VALUE. `standby`: whether
    to start a synchronous standby of the database. `archive`: whether the database keeps its WAL, so that a backup can
    be restored to any moment. `checkpoints`: whether the emulator saves its state also while it runs, not only at its
    end; each save may pause it for up to a second. `minute_s`: the seconds that stand for a minute of the metrics that
    AWS's services write. `reload`: whether code that is saved meanwhile is served by the next call.
    """

    database_proxy: bool = True
    variables: Sequence[str] = ()
    standby: bool = False
    archive: bool = False
    checkpoints: bool = True
    minute_s: float = 60.0
    reload: bool = False


@dataclass
class Supervisor:
    """The processes of one local cloud, in the order they were started.

    `front_port` is the gateway's port; `overrides` are template parameters.
    """

    state_folder: StateFolder
    front_port: int
    overrides: dict[str, str] = field(default_factory=dict)
    options: UpOptions = field(default_factory=UpOptions)
    children: list[ChildProcess] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def report_progress(self, text: str) -> None:
        """Print a progress line."""
        print(f"{time.monotonic() - self.began:5.1f} s  {text}", flush=True)

    def add(self, child: ChildProcess) -> ChildProcess:
        """Register a started process, and record it so that the next start can end it if this process is killed."""
        self.children.append(child)
        self.state_folder.update_state(children=[each.make_record() for each in self.children])
        return child

    def check_processes(self) -> None:
        """Raise ProcessCrashed if a process has ended."""
        for child in self.children:
            child.check()

    def stop(self) -> None:
        """End all processes, the last started first."""
        for child in reversed(self.children):
            child.stop()
        self.state_folder.update_state(children=[])


def run_until_stopped(
    state_folder: StateFolder, port: int, overrides: dict[str, str] | None = None, options: UpOptions | None = None
) -> None:
    """Run a local cloud until it is asked to stop or a process crashes; `overrides` are template parameters.

    Raise AlreadyRunning, PortInUse, ProcessCrashed, and what the parts' modules raise.
    """
    with state_folder.lock():
        for name in end_recorded(state_folder.read_state().children):
            print(f"ended {name}, left by an earlier run", flush=True)
        supervisor = Supervisor(state_folder, choose_front_port(port), overrides or {}, options or UpOptions())
        with raise_on_signals(), contextlib.suppress(StopRequested):
            run_parts(supervisor)


@contextmanager
def raise_on_signals() -> Iterator[None]:
    """Raise StopRequested on the signals that ask to stop; restore the former handlers at the end of the block."""

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        raise StopRequested

    former = {number: signal.signal(number, request_stop) for number in STOP_SIGNALS}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)


def run_parts(supervisor: Supervisor) -> None:
    """Start everything, print the ready line, and wait. Raise ProcessCrashed if a process ends by itself."""
    root, front_url = supervisor.state_folder.root, f"http://127.0.0.1:{supervisor.front_port}"
    files = note_files(root) if supervisor.options.reload else None  # before anything reads them
    try:
        start_parts(supervisor)
        print(format_ready_line(supervisor.front_port), flush=True)
        if files:
            watch_sources(root, front_url, print_with_time, files)
        watch(supervisor.children)
    except (StopRequested, ProcessCrashed):
        raise
    except Exception:
        supervisor.check_processes()  # a crashed process is the better explanation
        raise
    finally:
        with ignore_signals():
            supervisor.stop()


def print_with_time(text: str) -> None:
    """Print a line about something that happened while the cloud runs."""
    print(f"{datetime.now():%H:%M:%S} {text}", flush=True)  # noqa: DTZ005 - of the person's own clock


@contextmanager
def ignore_signals() -> Iterator[None]:
    """Ignore further requests to stop: the stop is under way, and kills each process that does not end in time.

    The former handlers are restored by `raise_on_signals`, within which this runs.
    """
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    yield


def format_ready_line(port: int) -> str:
    """Return the last line of a start."""
    front_url = f"http://127.0.0.1:{port}"
    pages = {"start": "/", "docs": "/_local/docs", "mail": "/_local/mail", "dashboard": "/_local/dashboard"}
    return "   ".join([f"ready  {front_url}/api", *(f"{name} {front_url}{path}" for name, path in pages.items())])


def start_parts(supervisor: Supervisor) -> None:
    """Start all parts in order; return when the gateway takes calls."""
    state_folder = supervisor.state_folder
    state_folder.make_folders()
    rotate_logs(state_folder.logs)
    ports = choose_internal_ports(state_folder, list_port_names(supervisor.options))
    state_folder.update_state(ports={**ports, "front": supervisor.front_port})
    server, aws = make_servers(state_folder, ports)
    aws = replace(aws, checkpoints=supervisor.options.checkpoints)
    standby.forget_standby(server)  # otherwise commits would wait for the standby of an earlier run
    archiving = backups.build_archive_settings(server) if supervisor.options.archive else {}
    server_process = supervisor.add(postgres.start(server, **archiving))
    aws_process = supervisor.add(emulator.start(aws))
    layer = build_layer(state_folder.root, state_folder.find_python("lambda"), report=supervisor.report_progress)
    server_process.wait_until(postgres.make_ready_check(server, server_process), postgres.READY_SECONDS)
    supervisor.report_progress("postgres is ready")
    aws_process.wait_until(lambda: emulator.is_ready(aws), emulator.READY_SECONDS)
    supervisor.report_progress("emulator is ready")
    deploy_changes(supervisor, aws, layer, database_port=ports.get("database_proxy", server.port))
    forget_writer(deploy.EmulatorClients(aws.url).get("dynamodb"), Stack.load(state_folder.stack))
    connection_limit = read_connection_limit(state_folder)
    migrate(state_folder, server, layer, connection_limit)
    supervisor.report_progress("database is migrated")
    if supervisor.options.standby:
        start_standby(supervisor, server, ports["standby"])
    if supervisor.options.database_proxy:
        start_database_proxy(supervisor, ports, connection_limit)
    start_gateway(supervisor, ports)


def list_port_names(options: UpOptions) -> list[str]:
    """Return the names of the ports to choose, all but the gateway's."""
    proxy = ["database_proxy", "database_proxy_control"] if options.database_proxy else []
    return ["postgres", "emulator", *proxy, *(["standby"] if options.standby else [])]


def make_servers(state_folder: StateFolder, ports: dict[str, int]) -> tuple[postgres.PostgresServer, emulator.Emulator]:
    """Return the database server and the emulator of this state folder; neither is started.

    PostgreSQL refuses to run as root, so the server may run as another user, with its data in a folder of that user's.
    """
    user_switch = unprivileged.choose_user_switch(postgres.find_binaries(), state_folder.path / "postgres")
    server = postgres.PostgresServer(
        user_switch.folder, ports["postgres"], state_folder.logs / "postgres.log", user_switch
    )
    aws = emulator.Emulator(
        state_folder.path / "emulator",
        ports["emulator"],
        state_folder.logs / "emulator.log",
        state_folder.find_python("emulator"),
    )
    return server, aws


def deploy_changes(supervisor: Supervisor, aws: emulator.Emulator, layer: Path, *, database_port: int) -> None:
    """Deploy the template, unless the emulator has a complete stack that was made from the same inputs.

    The inputs are those that `deploy.hash_inputs` hashes. `database_port` is the port that the functions use for the
    database.
    """
    state_folder, clients = supervisor.state_folder, deploy.EmulatorClients(aws.url)
    template = (state_folder.root / "template.yaml").read_text()
    front_url = f"http://127.0.0.1:{supervisor.front_port}"
    # The local PostgreSQL is built without TLS, so the functions need a certificate authority only for the proxy.
    authority = ensure_certificates(state_folder.certificates).authority if supervisor.options.database_proxy else None
    defaults = deploy.build_parameters(database_port=database_port, front=front_url, authority=authority)
    parameters = defaults | supervisor.overrides
    inputs_hash = deploy.hash_inputs(template, parameters, aws.url)
    is_same = state_folder.read_state().deployed == inputs_hash
    if is_same and state_folder.stack.exists() and deploy.is_deployed(clients):
        supervisor.report_progress("stack is up to date")
        return
    deploy.deploy(clients, template, parameters)
    read_stack(clients, list_code_folders(read_template(template), state_folder.root), [layer]).save(state_folder.stack)
    state_folder.update_state(deployed=inputs_hash)
    supervisor.report_progress("stack is deployed")


def read_connection_limit(state_folder: StateFolder) -> int:
    """Return how many connections all functions together may have: their setting DB_MAX_CONNECTIONS."""
    functions = Stack.load(state_folder.stack).functions
    # All functions that connect have the same value; should one differ, the smallest is safe.
    limits = [function.environment.get("DB_MAX_CONNECTIONS") for function in functions]
    return min(int(limit) for limit in limits if limit)


def migrate(state_folder: StateFolder, server: postgres.PostgresServer, layer: Path, connection_limit: int) -> str:
    """Apply the migrations with the layer's own command; return its output. Raise MigrationFailed.

    The command also sets the CONNECTION LIMIT of the functions' roles, `connection_limit`, and that of the database.
    """
    command = [state_folder.find_python("lambda"), "-m", "shared.database.migrate"]
    command += [str(layer / "migrations"), server.build_dsn(), str(connection_limit)]
    environment = {"PYTHONPATH": str(layer / "python"), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MigrationFailed(f"the migrations failed:\n{done.stdout}{done.stderr[-3000:]}")
    return done.stdout


def start_standby(supervisor: Supervisor, writer: postgres.PostgresServer, port: int) -> None:
    """Start a copy of the database that can be promoted, and make the database's commits wait for it."""
    log = supervisor.state_folder.logs / "standby.log"
    server = postgres.PostgresServer(writer.folder / "standby", port, log, writer.user_switch)
    child = supervisor.add(standby.start(writer, server))
    child.wait_until(postgres.make_ready_check(server, child), postgres.READY_SECONDS)
    standby.synchronise(writer)
    child.wait_until(lambda: standby.is_synchronous(writer), postgres.READY_SECONDS)
    supervisor.report_progress("standby is ready")


def start_database_proxy(supervisor: Supervisor, ports: dict[str, int], connection_limit: int) -> None:
    """Start the stand-in for RDS Proxy, between the functions and the database."""
    options = {
        "--port": ports["database_proxy"],
        "--control": ports["database_proxy_control"],
        "--target": ports["postgres"],
        "--max-connections": connection_limit,
        "--certificates": supervisor.state_folder.certificates,
    }
    start_listener(supervisor, "database_proxy", [str(part) for option in options.items() for part in option])
    supervisor.report_progress("database proxy is ready")


def start_gateway(supervisor: Supervisor, ports: dict[str, int]) -> None:
    """Start the gateway."""
    state_folder = supervisor.state_folder
    options = [
        "--stack",
        str(state_folder.stack),
        "--port",
        str(supervisor.front_port),
        "--logs",
        str(state_folder.logs),
        "--minute",
        str(supervisor.options.minute_s),
    ]
    options += ["--database", make_servers(state_folder, ports)[0].build_dsn()]
    if control := ports.get("database_proxy_control"):
        options += ["--database-proxy", f"http://127.0.0.1:{control}"]
    options += [f"--variable={each}" for each in supervisor.options.variables]
    start_listener(supervisor, "gateway", options)


def start_listener(supervisor: Supervisor, name: str, options: list[str]) -> None:
    """Start one of our own servers, `local.<name>`, and wait until it listens."""
    state_folder = supervisor.state_folder
    log = state_folder.logs / f"{name}.log"
    command = [state_folder.find_python("local"), "-m", f"local.{name}", *options]
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "PYTHONUNBUFFERED": "1"}
    child = supervisor.add(spawn(name, command, log=log, cwd=state_folder.root, env=environment))
    child.wait_until(lambda: is_listening(log, child.log_start), LISTENING_SECONDS)


def is_listening(log: Path, start: int) -> bool:
    """Return whether the log has a server's `listening` line after the first `start` bytes."""
    with log.open("rb") as lines:
        lines.seek(start)
        return any(line.split()[:1] == [b"listening"] for line in lines)


def rotate_logs(logs: Path) -> None:
    """Move large logs out of the way."""
    for log in logs.glob("*.log"):
        if log.stat().st_size > LOG_BYTES:
            shutil.move(log, log.with_name(f"{log.name}.1"))


def watch(children: list[ChildProcess]) -> None:
    """Wait until a process ends, and raise ProcessCrashed, even if it exited with 0: none may end by itself."""
    ended: queue.SimpleQueue[ChildProcess] = queue.SimpleQueue()
    for child in children:
        threading.Thread(target=report_end, args=(child, ended), daemon=True, name=child.name).start()
    ended.get().check()


def report_end(child: ChildProcess, ended: "queue.SimpleQueue[ChildProcess]") -> None:
    """Wait for a process's end and report it."""
    child.process.wait()
    ended.put(child)
