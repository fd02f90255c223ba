"""The health function's container: as every function's, but nothing in it waits for long."""

import os
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING

from health import service
from health.deep_check import DATABASE, QUERIES_S, SERVICES, STATE_STORE, DeepCheck
from health.parallel_queries import HealthQuery
from health.process_stats import ProcessStats
from shared.clock import read_monotonic
from shared.container import Container
from shared.deadline import Deadline
from shared.logging import observe
from shared.settings import Settings

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

    from shared.admission.ports import AdmissionStore
    from shared.aws.dynamodb_shared_state import SharedStateStore
    from shared.database.connection import Connection

# libpq's least, and more than the probes have: a connection that comes too late is left at once.
CONNECT_S = 2.0


class HealthContainer(Container):
    """Container of the health function, which has to answer also when its services don't."""

    @cached_property
    def process(self) -> ProcessStats:
        """This process."""
        return ProcessStats()

    @cached_property
    def admission_store(self) -> "AdmissionStore":
        """Limits; a store that does not answer soon lets the caller through."""
        from shared.aws.dynamodb_admission import DynamoDbAdmissionStore

        return DynamoDbAdmissionStore(self._dynamodb, self.settings.state_table, observer=observe)

    @cached_property
    def check(self) -> DeepCheck:
        """The deep check. What takes time without waiting, building clients, is done here, before its own begins."""
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
        return HealthQuery(DATABASE, lambda: read_once(self._connect_once, service.query_database, deadline))

    def _connect_once(self, _within_s: float) -> "Connection":
        return self._connect(CONNECT_S)


@cache
def get_container() -> HealthContainer:
    """The environment's own."""
    return HealthContainer(Settings.from_environ(os.environ))
