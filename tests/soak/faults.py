"""Faults of a soak run, drawn from a seed: each is real and ends by itself."""

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx

from local.database_proxy.proxy import Proxy
from local.state_folder import StateFolder
from tests.e2e.cloud import ROOT, RunningCloud
from tests.roles import SESSION_OF_A_FUNCTION

FUNCTIONS = ("AgentsFunction", "MembersFunction", "ClaimsFunction")


class RandomFaults:
    """All kinds in turn, each round of them in an order of its own."""

    def __init__(self, cloud: RunningCloud, proxy: Proxy, *, seed: int) -> None:
        self._cloud = cloud
        self._proxy = proxy
        self._random = random.Random(seed)
        self._waiting: list[Callable[[], None]] = []
        self.done: list[str] = []

    def inject_next(self) -> str:
        """Let the next one happen, and return its name when it is over."""
        if not self._waiting:
            kinds = self._list_kinds()
            self._waiting = self._random.sample(kinds, len(kinds))
        fault = self._waiting.pop()
        fault()
        self.done.append(fault.__name__)
        return fault.__name__

    def _list_kinds(self) -> list[Callable[[], None]]:
        return [
            *[self.cut_connections, self.refuse_database, self.black_hole_database, self.slow_database],
            *[self.end_sessions, self.kill_function_environments, self.kill_worker, self.kill_relay, self.freeze_aws],
        ]

    def cut_connections(self) -> None:
        """Every line to the database ends, whatever is on it."""
        self._proxy.cut_all()

    def refuse_database(self) -> None:
        """Nobody listens where the database was."""
        with self._proxy.refuse_connections():
            self._proxy.cut_all()
            time.sleep(2.0)

    def black_hole_database(self) -> None:
        """Acknowledge what is sent to the database, and lose it."""
        with self._proxy.faults.discard_data():
            time.sleep(2.0)

    def slow_database(self) -> None:
        """Every piece of a line is late."""
        with self._proxy.faults.delay_data(0.1):
            time.sleep(4.0)

    def end_sessions(self) -> None:
        """End sessions, as an impatient operator or a restart does."""
        query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {SESSION_OF_A_FUNCTION}"
        self._cloud.query_rows(query)

    def kill_function_environments(self) -> None:
        """Environments of the functions, in the middle of whatever they do."""
        for name in FUNCTIONS:
            self._kill(name)

    def kill_worker(self) -> None:
        """A worker, perhaps with a mail on its way."""
        self._kill("WorkerFunction")

    def kill_relay(self) -> None:
        """A relay, perhaps between the outbox and the queue."""
        self._kill("RelayFunction")

    def freeze_aws(self) -> None:
        """State table, queues, mail, identities and evidence answer nothing, all at once."""
        pid = next(
            child.pid
            for child in StateFolder(ROOT, self._cloud.folder).read_state().children
            if child.name == "emulator"
        )
        os.kill(pid, signal.SIGSTOP)
        try:
            time.sleep(3.0)
        finally:
            os.kill(pid, signal.SIGCONT)

    def _kill(self, function: str) -> None:
        busy = [e for e in list_environments(self._cloud).get(function, []) if e["state"] == "busy"]
        living = busy or list_environments(self._cloud).get(function, [])
        if living:
            with suppress(ProcessLookupError):  # it may have ended by itself
                os.kill(self._random.choice(living)["pid"], signal.SIGKILL)


def list_environments(cloud: RunningCloud) -> dict[str, list[dict[str, Any]]]:
    """Return the execution environments that live, by function."""
    functions = httpx.get(f"{cloud.origin}/_local/status", timeout=30).json()["functions"]
    return {name: [e for e in function["environments"] if e["pid"] is not None] for name, function in functions.items()}
