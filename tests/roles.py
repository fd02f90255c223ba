"""The database role that a function has where it is deployed, and connections of the tests as that role.

A test runs code of several functions in one process. Which function a transaction belongs to is seen from the code that
asks for it: then a grant that a function lacks turns red the test that needs it.
"""

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from local.postgres import OWNER
from shared.clock import read_monotonic
from shared.database.connection import Connection, ConnectionHolder, connect
from shared.settings import Settings

# The handlers of the release before connect as this one, and so do tests that write statements of their own.
BEFORE = "interdomestik_app"
FUNCTIONS = {
    "AgentsFunction": "interdomestik_agents",
    "MembersFunction": "interdomestik_members",
    "ClaimsFunction": "interdomestik_claims",
    "HealthFunction": "interdomestik_health",
    "JobsFunction": "interdomestik_jobs",
    "RelayFunction": "interdomestik_relay",
    "WorkerFunction": "interdomestik_worker",
    "HousekeepingFunction": "interdomestik_housekeeping",
    "AdminFunction": OWNER,
    "MigrationFunction": OWNER,
}
# The package of each function.
PACKAGES = {
    "agents": "AgentsFunction",
    "members": "MembersFunction",
    "claims": "ClaimsFunction",
    "health": "HealthFunction",
    "jobs_api": "JobsFunction",
    "relay": "RelayFunction",
    "worker": "WorkerFunction",
    "housekeeping": "HousekeepingFunction",
    "operations": "AdminFunction",
    "migration": "MigrationFunction",
}
# Those whose connections are limited: the owner of the schema is none of them.
LIMITED = sorted({BEFORE, *FUNCTIONS.values()} - {OWNER})
# Sessions of any of the functions, as a condition on pg_stat_activity.
SESSION_OF_A_FUNCTION = """usesysid IN (
    SELECT member FROM pg_auth_members WHERE roleid = 'interdomestik_functions'::regrole AND NOT admin_option)"""


def find_role_of_caller() -> str:
    """Return the role of the function whose code is running, BEFORE where it is none's."""
    return next((role for role in map(find_role_of_module, _list_running_modules()) if role != BEFORE), BEFORE)


def find_role_of_module(name: str) -> str:
    """Return the role of the function whose package a module is in, BEFORE where it is in none's."""
    function = PACKAGES.get(name.partition(".")[0])
    return BEFORE if function is None else FUNCTIONS[function]


def _list_running_modules() -> Iterator[str]:
    """Yield the names of the modules whose functions are running, innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        yield str(frame.f_globals.get("__name__", ""))
        frame = frame.f_back  # type: ignore[assignment]


class RoleConnector(ConnectionHolder):
    """Hands out a connection as the role of the function that asks, one for each role."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connectors: dict[str, ConnectionHolder] = {}
        self._holder_in_use: ConnectionHolder | None = None

    def borrow(self, within_s: float) -> Connection:
        """See Connector."""
        self._holder_in_use = self.get_connector(find_role_of_caller())
        return self._holder_in_use.borrow(within_s)

    def get_connector(self, role: str) -> ConnectionHolder:
        """Return what hands out the connection of a role."""
        if role not in self._connectors:
            self._connectors[role] = self._make_connector(role)
        return self._connectors[role]

    def _make_connector(self, role: str) -> ConnectionHolder:
        dial = partial(connect, self._settings.model_copy(update={"db_user": role}), None)
        idle_s, life_s = self._settings.db_idle_timeout, self._settings.db_max_lifetime
        return ConnectionHolder(dial, idle_timeout_s=idle_s, max_lifetime_s=life_s, clock=read_monotonic)

    def limit_waiting(self, seconds: float) -> AbstractContextManager[None]:
        """See Connector."""
        return self._holder_in_use.limit_waiting(seconds) if self._holder_in_use else nullcontext()

    def return_connection(self) -> None:
        """See Connector."""
        if self._holder_in_use:
            self._holder_in_use.return_connection()

    def drop(self) -> None:
        """See Connector."""
        if self._holder_in_use:
            self._holder_in_use.drop()
