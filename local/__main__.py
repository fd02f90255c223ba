"""The command line of the local cloud: `python -m local up` and the commands for a running one."""

import signal

# The imports below take a third of a second, in which Ctrl-C ends this program at once, without a traceback.
INTERRUPT_HANDLER = signal.getsignal(signal.SIGINT)
if __name__ == "__main__" and INTERRUPT_HANDLER is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import os
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from local import backups, circuits, postgres, restored_server, supervisor, tokens, unprivileged
from local.deploy import DeployFailed
from local.front import people
from local.layer_build import BuildFailed, build_layer
from local.option_types import LocalParser, check_variable, read_moment, read_port, split_pair
from local.processes import ProcessCrashed, end_recorded
from local.release.command import ReleaseFailed, format_result, run_release
from local.stack import Stack
from local.state_folder import (
    DEFAULT_PORT,
    ROOT,
    AlreadyRunning,
    PortInUse,
    StateFolder,
    StateNotWritable,
    build_front_url,
)
from local.template import UnreadableTemplate

INTERRUPTED = 130  # the status of a shell's command that Ctrl-C ended
POLL_S = 0.05
STOP_S = 30.0  # for make down: twice what a part gets before it is killed
PROBLEMS = (AlreadyRunning, PortInUse, StateNotWritable, ProcessCrashed, BuildFailed, DeployFailed)
MORE_PROBLEMS = (
    postgres.PostgresStartError,
    supervisor.MigrationFailed,
    tokens.TokenError,
    circuits.CircuitCommandFailed,
    UnreadableTemplate,
    ReleaseFailed,
    backups.BackupMissing,
    backups.RestoreFailed,
)

NO_PROXY_HELP = """for up: functions connect to the database directly. Otherwise they use a stand-in for RDS Proxy, from
which transactions borrow at most DatabaseMaxConnections connections; its control port (database_proxy_control in
state.json; local/database_proxy/control.py) returns its statistics, and can limit, cut, delay or refuse connections, or
use another server"""

VARIABLE_HELP = """for up: NAME=VALUE or FunctionLogicalId:NAME=VALUE, added to the environment of all functions or of
one, over the deployed values; the names that Lambda reserves stay unchanged"""

CHECKPOINTS_HELP = """for up: the emulator writes its state only when it ends; writing it while it runs pauses the
emulator for up to a second now and then; for measurements"""
MINUTE_HELP = """the seconds that stand for a minute; for release: of the canary and of the alarms' periods; for up: of
the metrics that AWS's services write"""
ARCHIVE_HELP = """for up: the database keeps all of its WAL, so that `backup` can take a backup of it, and `restore` can
restore that to any later moment"""
TO_HELP = """for restore: the moment, in ISO 8601 with its offset; a server with what was committed until then is
started beside the present one, the database proxy redirects the functions to it, and it runs until Ctrl-C"""
RELOAD_HELP = """for up: code that is saved meanwhile is served by the next call, and the terminal says how a changed
template or migration is taken; `make up` has it, tests and measurements keep the code that they began with"""
STANDBY_HELP = """for up: a synchronous standby of the database (standby in state.json), copied at each start;
SELECT pg_promote() makes it the writer, and the proxy's target redirects the functions to it until the next start"""


class CloudNotRunning(Exception):
    """The command needs a running local cloud."""


class CloudNotStopped(Exception):
    """The running cloud did not end in time."""


def main(arguments: list[str]) -> int:
    """Run one command; return 0, or print a problem's message on stderr and return 1."""
    options = build_parser().parse_args(arguments)
    state_folder = StateFolder(ROOT, Path(options.state).resolve())
    try:
        COMMANDS[options.command](state_folder, options)
    except (*PROBLEMS, *MORE_PROBLEMS, CloudNotRunning, CloudNotStopped) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser for the options of all commands."""
    parser = LocalParser(prog="python -m local", description=__doc__)
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("--state", default=str(ROOT / ".local"), help="the folder that keeps the state")
    parser.add_argument("--port", type=read_port, default=DEFAULT_PORT, help="of the front; 0 takes a free one")
    parser.add_argument(
        "--parameter", type=split_pair, action="append", default=[], help="NAME=VALUE of template.yaml, for up"
    )
    parser.add_argument("--no-database-proxy", action="store_true", help=NO_PROXY_HELP)
    parser.add_argument("--standby", action="store_true", help=STANDBY_HELP)
    parser.add_argument("--reload", action="store_true", help=RELOAD_HELP)
    parser.add_argument("--archive", action="store_true", help=ARCHIVE_HELP)
    parser.add_argument("--to", type=read_moment, help=TO_HELP)
    parser.add_argument("--no-checkpoints", action="store_true", help=CHECKPOINTS_HELP)
    parser.add_argument("--variable", type=check_variable, action="append", default=[], help=VARIABLE_HELP)
    parser.add_argument("--role", choices=people.ROLES, help="of the token's owner")
    parser.add_argument("--email", default="", help="of the token's owner")
    parser.add_argument("--name", default="", help="of the circuit to force")
    parser.add_argument("--code", default="", help="a folder or git revision with the functions, for release")
    parser.add_argument("--minute", type=float, default=60.0, help=MINUTE_HELP)
    parser.add_argument("--force", default="", help="open, closed or auto, for the circuit of that name")
    return parser


def run_up(state_folder: StateFolder, options: argparse.Namespace) -> None:
    """Start the local cloud and run until it stops."""
    up_options = supervisor.UpOptions(
        database_proxy=not options.no_database_proxy,
        variables=options.variable,
        standby=options.standby,
        archive=options.archive,
        checkpoints=not options.no_checkpoints,
        minute_s=options.minute,
        reload=options.reload,
    )
    supervisor.run_until_stopped(state_folder, options.port, dict(options.parameter), up_options)


def stop(state_folder: StateFolder, _options: argparse.Namespace) -> None:
    """End the running cloud as Ctrl-C does, and wait for that."""
    require_running(state_folder)
    owner = state_folder.read_owner()
    os.kill(owner, signal.SIGINT)
    deadline = time.monotonic() + STOP_S
    while state_folder.is_running():
        if time.monotonic() > deadline:
            raise CloudNotStopped(f"it has not ended within {STOP_S:.0f} s: process {owner}")
        time.sleep(POLL_S)


def show_url(state_folder: StateFolder, _options: argparse.Namespace) -> None:
    """Print the API's URL and nothing else."""
    require_running(state_folder)
    print(f"{build_front_url(state_folder.read_state())}/api")


def reset(state_folder: StateFolder, _options: argparse.Namespace) -> None:
    """Delete the state; keep the virtual environments."""
    if not state_folder.path.exists():
        return
    with state_folder.lock():
        end_recorded(state_folder.read_state().children)
        user_switch = unprivileged.choose_user_switch(postgres.find_binaries(), state_folder.path / "postgres")
        unprivileged.remove_data(user_switch)
        shutil.rmtree(state_folder.path)
    print("the local state is gone")


def show_token(state_folder: StateFolder, options: argparse.Namespace) -> None:
    """Print an access token and nothing else."""
    require_running(state_folder)
    if options.role in people.REGISTERED_ROLES:
        front_url = build_front_url(state_folder.read_state())
        owner = people.sign_in_person(Stack.load(state_folder.stack), front_url, role=options.role, email=options.email)
        print(owner.access_token)
    else:
        print(tokens.get_token(state_folder, role=options.role, email=options.email))


def show_circuits(state_folder: StateFolder, options: argparse.Namespace) -> None:
    """Print the circuits' states, after forcing one if the options name it."""
    require_running(state_folder)
    print(circuits.run_circuit_command(state_folder, name=options.name, force=options.force))


def show_logs(state_folder: StateFolder, _options: argparse.Namespace) -> None:
    """Print the logs and follow them."""
    files = sorted(map(str, state_folder.logs.glob("**/*.log")))
    if not files:
        raise CloudNotRunning("there are no logs yet: make up")
    os.execvp("tail", ["tail", "-n", "20", "-F", *files])  # noqa: S606, S607


def open_psql(state_folder: StateFolder, _options: argparse.Namespace) -> None:
    """Open a psql session as the database's owner."""
    require_running(state_folder)
    server, _ = supervisor.make_servers(state_folder, state_folder.read_state().ports)
    program = postgres.find_binaries() / "psql"
    os.execv(program, ["psql", server.build_dsn()])  # noqa: S606


def migrate(state_folder: StateFolder, _options: argparse.Namespace) -> None:
    """Apply new migrations to the running database."""
    require_running(state_folder)
    server, _ = supervisor.make_servers(state_folder, state_folder.read_state().ports)
    layer = build_layer(state_folder.root, state_folder.find_python("lambda"), report=print)
    print(
        supervisor.migrate(state_folder, server, layer, supervisor.read_connection_limit(state_folder))
        or "nothing to apply\n",
        end="",
    )


def back_up(state_folder: StateFolder, _options: argparse.Namespace) -> None:
    """Take a base backup of the running database."""
    require_running(state_folder)
    server, _ = supervisor.make_servers(state_folder, state_folder.read_state().ports)
    backups.back_up(server)
    print("backed up")


def restore(state_folder: StateFolder, options: argparse.Namespace) -> None:
    """Restore the backup beside the running database, redirect the functions to it, and run until stopped."""
    require_running(state_folder)
    if options.to is None:
        raise backups.RestoreFailed("to which moment? --to 2026-11-26T21:30:00+00:00")
    restored_server.run_restored(state_folder, options.to)


def release(state_folder: StateFolder, options: argparse.Namespace) -> None:
    """Release other code on the running cloud. Raise ReleaseFailed unless it is promoted."""
    require_running(state_folder)
    result = run_release(state_folder, options.code, minute_s=options.minute, report=print)
    if result.outcome != "promoted":
        raise ReleaseFailed(format_result(result))
    print(format_result(result))


def require_running(state_folder: StateFolder) -> None:
    """Raise CloudNotRunning unless the local cloud is running."""
    if not state_folder.is_running():
        raise CloudNotRunning("the local cloud is not running: make up")


COMMANDS: dict[str, Callable[[StateFolder, argparse.Namespace], None]] = {
    "up": run_up,
    "down": stop,
    "url": show_url,
    "reset": reset,
    "token": show_token,
    "circuits": show_circuits,
    "logs": show_logs,
    "psql": open_psql,
    "migrate": migrate,
    "release": release,
    "backup": back_up,
    "restore": restore,
}

if __name__ == "__main__":
    signal.signal(signal.SIGINT, INTERRUPT_HANDLER)
    sys.exit(main(sys.argv[1:]))
