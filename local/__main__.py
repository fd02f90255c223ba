"""The command line of the local cloud: `python -m local up`, and what a person needs beside it."""

import argparse
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from local import circuits, postgres, tokens, unprivileged, up
from local.build import BuildFailed, build_layer
from local.children import Crashed, end_leftovers
from local.deploy import DeployFailed
from local.home import ROOT, AlreadyRunning, Home, PortInUse
from local.runtime.variables import Variable
from local.template import UnreadableTemplate

DEFAULT_PORT = 3000
PROBLEMS = (AlreadyRunning, PortInUse, Crashed, BuildFailed, DeployFailed)
MORE_PROBLEMS = (postgres.CannotStart, up.MigrationFailed, tokens.NoToken, circuits.NotForced, UnreadableTemplate)

NO_PROXY_HELP = """for up: functions go straight to the database. Otherwise they reach it through a stand-in for RDS
Proxy, which lends at most DatabaseMaxConnections connections by transaction; its control port (database_proxy_control
in state.json; local/database_proxy/control.py) tells what it has seen, and can limit, cut, delay, refuse, or lead to
another server"""

VARIABLE_HELP = """for up: NAME=VALUE or FunctionLogicalId:NAME=VALUE, more for the environment of all functions or of
one, over what is deployed; the names that Lambda keeps for itself stay as they are"""

CHECKPOINTS_HELP = """for up: the emulator writes its state when it ends, not while it runs, which stops all of it for
up to a second now and then; for measurements"""
STANDBY_HELP = """for up: a standby of the database (standby in state.json), in step with it, made anew at each start;
SELECT pg_promote() on it has it take over, and the proxy's target leads the functions there until the next start"""


class NotRunning(Exception):
    """The command needs a running local cloud."""


def main(arguments: list[str]) -> int:
    """Runs one command; a problem becomes one message on stderr and status 1."""
    options = parser().parse_args(arguments)
    home = Home(ROOT, Path(options.state).resolve())
    try:
        COMMANDS[options.command](home, options)
    except (*PROBLEMS, *MORE_PROBLEMS, NotRunning) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of all commands."""
    parser = argparse.ArgumentParser(prog="python -m local", description=__doc__)
    parser.add_argument("command", choices=sorted(COMMANDS))
    parser.add_argument("--state", default=str(ROOT / ".local"), help="the folder that keeps the state")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="of the front; 0 takes a free one")
    parser.add_argument("--parameter", action="append", default=[], help="NAME=VALUE of template.yaml, for up")
    parser.add_argument("--no-database-proxy", action="store_true", help=NO_PROXY_HELP)
    parser.add_argument("--standby", action="store_true", help=STANDBY_HELP)
    parser.add_argument("--no-checkpoints", action="store_true", help=CHECKPOINTS_HELP)
    parser.add_argument("--variable", type=checked, action="append", default=[], help=VARIABLE_HELP)
    parser.add_argument("--role", choices=("staff", "admin"), help="of the token's owner")
    parser.add_argument("--email", default="", help="of the token's owner")
    parser.add_argument("--name", default="", help="of the circuit to force")
    parser.add_argument("--force", default="", help="open, closed or auto, for the circuit of that name")
    return parser


def checked(variable: str) -> str:
    """A variable of the command line, as it is. Raises ValueError."""
    Variable.parse(variable)
    return variable


def run_up(home: Home, options: argparse.Namespace) -> None:
    """Starts the local cloud and stays until it ends."""
    extras = up.Extras(
        database_proxy=not options.no_database_proxy,
        variables=options.variable,
        standby=options.standby,
        checkpoints=not options.no_checkpoints,
    )
    up.up(home, options.port, dict(pair.split("=", 1) for pair in options.parameter), extras)


def reset(home: Home, _options: argparse.Namespace) -> None:
    """Throws the state away; the environments stay."""
    if not home.folder.exists():
        return
    with home.locked():
        end_leftovers(home.read().children)
        runner = unprivileged.choose(postgres.installed_binaries(), home.folder / "postgres")
        unprivileged.remove(runner)
        shutil.rmtree(home.folder)
    print("the local state is gone")


def print_token(home: Home, options: argparse.Namespace) -> None:
    """Prints an access token, and nothing else."""
    need_running(home)
    print(tokens.token(home, role=options.role, email=options.email))


def print_circuits(home: Home, options: argparse.Namespace) -> None:
    """Prints the circuits, or forces one and prints that."""
    need_running(home)
    print(circuits.circuits(home, name=options.name, force=options.force))


def logs(home: Home, _options: argparse.Namespace) -> None:
    """Shows the logs as they grow."""
    files = sorted(map(str, home.logs.glob("**/*.log")))
    if not files:
        raise NotRunning("there are no logs yet: make up")
    os.execvp("tail", ["tail", "-n", "20", "-F", *files])  # noqa: S606, S607


def psql(home: Home, _options: argparse.Namespace) -> None:
    """Opens the database as its owner."""
    need_running(home)
    server, _ = up.parts(home, home.read().ports)
    program = postgres.installed_binaries() / "psql"
    os.execv(program, ["psql", server.dsn()])  # noqa: S606


def migrate(home: Home, _options: argparse.Namespace) -> None:
    """Applies new migrations to the running database."""
    need_running(home)
    server, _ = up.parts(home, home.read().ports)
    layer = build_layer(home.root, home.python("lambda"), say=print)
    print(up.migrate(home, server, layer, up.connection_limit(home)) or "nothing to apply\n", end="")


def need_running(home: Home) -> None:
    """Raises NotRunning where no local cloud runs."""
    if not home.is_running():
        raise NotRunning("the local cloud is not running: make up")


COMMANDS: dict[str, Callable[[Home, argparse.Namespace], None]] = {
    "up": run_up,
    "reset": reset,
    "token": print_token,
    "circuits": print_circuits,
    "logs": logs,
    "psql": psql,
    "migrate": migrate,
}

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
