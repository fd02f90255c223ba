"""The programs that are measured: on which Python each runs, and what it does when it starts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parent.parent
LAYER = ROOT / ".venvs/layer"
OUR_PYTHON = ROOT / ".venvs/lambda/bin/python"
PEERS_PYTHON = ROOT / ".venvs/bench/bin/python"

Operation = Literal["registration", "claim", "read", "health"]
OPERATIONS: tuple[Operation, ...] = ("registration", "claim", "read", "health")

OUR_CLIENTS = "from shared.container import get_container; c = get_container(); c.admission_store; c.queues"
OUR_CONNECTION = "c.connector.borrow(10.0); c.connector.return_connection()"
# What each start of a whole process is split into, after the interpreter's own.
STEPS = ("imports", "clients", "connection")


@dataclass(frozen=True)
class MeasuredProgram:
    """A program: its interpreter, where it imports from, its handler, and the code of each step of its start."""

    name: str
    title: str
    python: Path
    import_path: tuple[Path, ...]
    module: str
    steps: dict[str, str]

    @property
    def handler(self) -> str:
        """Return the handler as Lambda's configuration names it."""
        return f"{self.module}.handler"


def make_function(name: str, *, clients: str = OUR_CLIENTS, connection: str = OUR_CONNECTION) -> MeasuredProgram:
    """Return a function of the service."""
    steps = {"imports": f"from {name}.app import handler", "clients": clients, "connection": connection}
    path = (ROOT / "functions" / name, LAYER / "python")
    return MeasuredProgram(name, f"ours, {name}", OUR_PYTHON, path, f"{name}.app", steps)


def make_peer(name: str, title: str, steps: dict[str, str], *, module: str | None = None) -> MeasuredProgram:
    """Return a stack of bench/peers."""
    return MeasuredProgram(name, title, PEERS_PYTHON, (ROOT,), module or f"bench.peers.{name}", steps)


FUNCTIONS = {
    "members": make_function("members"),
    "claims": make_function("claims"),
    "agents": make_function("agents"),
    "health": make_function("health", clients="", connection=""),  # the shallow check needs neither
    "worker": make_function(
        "worker",
        clients="from worker.app import get_job_runner; runner = get_job_runner()",
        connection=f"{OUR_CLIENTS}; {OUR_CONNECTION}",
    ),
}
FLOOR = make_peer(
    "floor",
    "the floor",
    {
        "imports": "from bench.peers import floor; handler = floor.handler",
        "clients": "floor.get_http()",
        "connection": "floor.get_connection()",
    },
)
POWERTOOLS = make_peer(
    "powertools_stack",
    "plain Powertools",
    {
        "imports": "from bench.peers import powertools_stack; handler = powertools_stack.handler",
        "clients": "",  # its persistence layer makes its client when it is imported
        "connection": "powertools_stack.get_connection()",
    },
)
FASTAPI = make_peer(
    "fastapi_stack",
    "FastAPI's stack",
    {
        "imports": "from bench.peers import fastapi_stack; handler = fastapi_stack.handler",
        "clients": "",
        "connection": "fastapi_stack.engine.connect().close()",
    },
)
BARE = make_peer(
    "bare",
    "bare libraries",
    {
        "imports": "import boto3, psycopg, pydantic, os; handler = None",
        "clients": "boto3.client('dynamodb')",
        "connection": "",
    },
    module="bench.peers.empty",
)
EMPTY = make_peer(
    "empty", "an empty handler", {"imports": "from bench.peers.empty import handler", "clients": "", "connection": ""}
)

# What a call is measured in: the program of each operation, for each stack.
STACKS: dict[str, dict[Operation, MeasuredProgram]] = {
    "ours": {
        "registration": FUNCTIONS["members"],
        "claim": FUNCTIONS["claims"],
        "read": FUNCTIONS["members"],
        "health": FUNCTIONS["health"],
    },
    "floor": dict.fromkeys(OPERATIONS, FLOOR),
    "powertools": dict.fromkeys(OPERATIONS, POWERTOOLS),
    "fastapi": dict.fromkeys(OPERATIONS, FASTAPI),
}
TITLES = {"ours": "ours", "floor": "the floor", "powertools": "plain Powertools", "fastapi": "FastAPI's stack"}
STARTED = (*FUNCTIONS.values(), FLOOR, POWERTOOLS, FASTAPI, BARE, EMPTY)
