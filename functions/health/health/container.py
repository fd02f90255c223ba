"""The health function's container: like every function's, but no part of it waits long."""

import os
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

from health import service
from health.deep_check import DATABASE, QUERIES_S, SERVICES, STATE_STORE, DeepCheck
from health.parallel_queries import HealthQuery
from health.process_stats import ProcessStats
from shared.clock import read_monotonic
from shared.container import Container
from shared.database.schema_version import list_shipped
from shared.deadline import Deadline
from shared.logging import observe
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from shared.admission.ports import AdmissionStore
    from shared.aws.dynamodb_shared_state import SharedStateStore
    from shared.database.connection import Connection

# libpq's minimum, and more than the queries' time: a connection that comes too late is closed at once.
CONNECT_S = 2.0


class HealthContainer(Container):
    """The container of the health function, which has to answer even if its dependencies don't."""

    @cached_property
    def process(self) -> ProcessStats:
        """Return the statistics of this process."""
        return ProcessStats()

    @cached_property
    def admission_store(self) -> "AdmissionStore":
        """Return the store of limits; if it does not answer soon, the call is let through."""
        from shared.aws.dynamodb_admission import DynamoDbAdmissionStore

        return DynamoDbAdmissionStore(self._dynamodb, self.settings.state_table, observer=observe)

    @cached_property
    def check(self) -> DeepCheck:
        """Return the deep check.

        Clients, which take time to create, are created here, before the check's time begins.
        """
        from health.service_queries import make_service_queries

        services = [HealthQuery(name, ask) for name, ask in make_service_queries(self.settings).items()]
        services.append(HealthQuery(STATE_STORE, partial(self._shared_state.read, SERVICES)))
        return DeepCheck(
            lambda: [self._make_database_query(), *services],
            self._shared_state,
            version=self.settings.version,
            max_connections=self.settings.db_max_connections,
            mail_rate=self.settings.mail_rate,
            clock=self.clock,
        )

    @cached_property
    def _dynamodb(self) -> "DynamoDBClient":
        from shared.aws.clients import get_health_client

        client: DynamoDBClient = get_health_client("dynamodb")
        return client

    @cached_property
    def _shared_state(self) -> "SharedStateStore":
        from shared.aws.dynamodb_shared_state import SharedStateStore

        return SharedStateStore(self._dynamodb, self.settings.state_table, now=self.clock)

    def _make_database_query(self) -> HealthQuery:
        from health.one_off_read import read_once

        deadline = Deadline(read_monotonic() + QUERIES_S, read_monotonic)
        query = partial(service.query_database, shipped=self._shipped_migrations)
        return HealthQuery(DATABASE, lambda: read_once(self._connect_once, query, deadline))

    @cached_property
    def _shipped_migrations(self) -> tuple[str, ...]:
        return list_shipped(os.environ)

    def _connect_once(self, _within_s: float) -> "Connection":
        return self._connect(CONNECT_S)


@cache
def get_container() -> HealthContainer:
    """Return the environment's container."""
    return HealthContainer(Settings.from_environ(os.environ))
