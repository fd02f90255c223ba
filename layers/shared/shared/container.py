"""The composition root: builds what a function needs from its settings, each part on first use."""

import os
import secrets
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from datetime import date
from functools import cache, cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID

from shared.circuit.client import STORE_WAIT_S
from shared.clock import Clock, convert_to_local_date, read_epoch_micros, read_monotonic, read_utc_now
from shared.logging import observe
from shared.settings import Settings

if TYPE_CHECKING:
    from shared.admission.ports import AdmissionStore
    from shared.api.pagination import CursorCodec
    from shared.aws.dynamodb_answer_keeper import DynamoDbAnswerKeeper
    from shared.aws.dynamodb_shared_state import BackgroundCounter
    from shared.aws.s3 import DocumentStore
    from shared.aws.sqs import JobQueues
    from shared.circuit.breaker import CircuitBreaker
    from shared.circuit.client import CircuitStoreClient
    from shared.circuit.store import CircuitStore
    from shared.database.connection import Connection, ConnectionHolder
    from shared.database.pipeline import Database

# How long a call with a waiting client waits for the circuits' table.
CIRCUIT_PATIENCE_S = STORE_WAIT_S


def import_ahead() -> None:
    """Import the clients of the database and of AWS, for functions whose calls nearly all use both.

    Lambda provides a whole processor for imports before the first call, and only a part of one afterwards. Everything
    else is imported when it is needed: the shallow health check and the pages never need these clients.
    """
    from shared.aws import clients, dynamodb_admission, sqs  # noqa: F401 - kept by sys.modules
    from shared.database import connection, pipeline  # noqa: F401


class Container:
    """The composition root. It builds all lazily: importing a module needs no environment and opens no connection."""

    def __init__(
        self, settings: Settings, clock: Clock = read_utc_now, *, circuit_patience_s: float | None = None
    ) -> None:
        """Take the settings; `circuit_patience_s` limits how long a call may wait for the circuits' table."""
        self.settings = settings
        self.clock = clock
        self._circuit_patience_s = CIRCUIT_PATIENCE_S if circuit_patience_s is None else circuit_patience_s
        self._circuits: dict[str, CircuitBreaker] = {}
        self._background = ThreadPoolExecutor(max_workers=1, thread_name_prefix="after")

    def read_today(self) -> date:
        """Return the current date in the stack's country."""
        return convert_to_local_date(self.clock(), self.settings.time_zone)

    @cached_property
    def connector(self) -> "ConnectionHolder":
        """Return the holder of the environment's database connection."""
        from shared.database.connection import ConnectionHolder

        settings = self.settings
        return ConnectionHolder(
            self._connect,
            idle_timeout_s=settings.db_idle_timeout,
            max_lifetime_s=settings.db_max_lifetime,
            clock=read_monotonic,
        )

    def _connect(self, within_s: float) -> "Connection":
        from shared.database.connection import connect

        return connect(self.settings, self._read_password(), within_s, observe)

    def _read_password(self) -> str | None:
        if self.settings.db_auth != "iam":
            return self.settings.db_password
        from shared.aws.clients import sign_database_password

        settings = self.settings
        return sign_database_password(host=settings.db_host, port=settings.db_port, user=settings.db_user)

    def migrate(self, directory: Path, *, within_s: float, connect_within_s: float = 0.0) -> list[str]:
        """Apply the missing migrations as the settings' database user, and return their versions.

        Afterwards the functions' roles may open as many connections as the settings say. All of it takes at most
        `within_s` seconds; a failed connection is tried again for the first `connect_within_s` of them. Raise
        MigrationError.
        """
        from shared.database.connection import build_connect_arguments
        from shared.database.migrate import migrate

        settings = self.settings
        return migrate(
            "",
            directory,
            connection_limit=settings.db_max_connections,
            iam=settings.db_auth == "iam",
            within_s=within_s,
            connect_within_s=connect_within_s,
            observer=observe,
            **build_connect_arguments(settings, self._read_password()),
        )

    @cached_property
    def database(self) -> "Database":
        """Return the runner of transactions on the environment's connection."""
        from shared.database.pipeline import Database

        return Database(
            self.connector,
            backoff=self.settings.backoff,
            pipeline=self.settings.db_pipeline == "on",
            observer=self._count_retry,
        )

    def _count_retry(self, event: str, facts: Mapping[str, object]) -> None:
        observe(event, facts)
        if event == "transaction_retried":
            self._retry_counter.count()

    @cached_property
    def _retry_counter(self) -> "BackgroundCounter":
        from shared.aws.clients import get_dynamodb
        from shared.aws.dynamodb_shared_state import BackgroundCounter, SharedStateStore

        return BackgroundCounter(SharedStateStore(get_dynamodb(), self.settings.state_table).add_retries)

    @cached_property
    def admission_store(self) -> "AdmissionStore":
        """Return the store of limits and idempotency keys."""
        from shared.aws.clients import get_dynamodb
        from shared.aws.dynamodb_admission import DynamoDbAdmissionStore

        return DynamoDbAdmissionStore(get_dynamodb(), self.settings.state_table, observer=observe)

    @cached_property
    def answer_keeper(self) -> "DynamoDbAnswerKeeper":
        """Return the keeper of answers, which stores them under their idempotency keys."""
        from shared.aws.clients import get_impatient_dynamodb
        from shared.aws.dynamodb_answer_keeper import DynamoDbAnswerKeeper

        return DynamoDbAnswerKeeper(get_impatient_dynamodb(), self.settings.state_table)

    @cached_property
    def circuit_store(self) -> "CircuitStore":
        """Return the store of the circuits that all environments share."""
        from shared.aws.clients import get_impatient_dynamodb
        from shared.aws.dynamodb_circuits import DynamoDbCircuitStore

        return DynamoDbCircuitStore(get_impatient_dynamodb(), self.settings.state_table)

    @cached_property
    def _circuit_client(self) -> "CircuitStoreClient":
        from shared.circuit.client import CircuitStoreClient

        return CircuitStoreClient(self.circuit_store, timer=read_monotonic, patience_s=self._circuit_patience_s)

    def get_breaker(self, name: str) -> "CircuitBreaker":
        """Return the environment's circuit breaker of a service: email, identity or storage."""
        from shared.aws.circuit_protected import FAILURES, NO_CALLS
        from shared.circuit.breaker import CircuitBreaker

        if name not in self._circuits:
            self._circuits[name] = CircuitBreaker(
                self.settings.find_circuit_policy(name),
                self._circuit_client,
                observer=observe,
                now=read_epoch_micros,
                timer=read_monotonic,
                new_token=lambda: secrets.token_hex(16),
                failures=FAILURES,
                no_calls=NO_CALLS,
            )
        return self._circuits[name]

    @cached_property
    def cursors(self) -> "CursorCodec":
        """Return the codec of the lists' cursors."""
        from shared.api.pagination import CursorCodec

        return CursorCodec(self.settings.cursor_secret)

    @cached_property
    def document_store(self) -> "DocumentStore":
        """Return the storage of claims' documents, behind its circuit breaker."""
        from shared.aws.circuit_protected import CircuitProtectedDocumentStore
        from shared.aws.clients import get_s3
        from shared.aws.s3 import S3DocumentStore

        return CircuitProtectedDocumentStore(
            S3DocumentStore(get_s3(), self.settings.evidence_bucket), self.get_breaker("storage")
        )

    @cached_property
    def queues(self) -> "JobQueues":
        """Return the queues that receive job ids."""
        from shared.aws.clients import get_sqs
        from shared.aws.sqs import SqsJobQueues

        settings = self.settings
        urls = {"high": settings.queue_high_url, "normal": settings.queue_normal_url, "low": settings.queue_low_url}
        return SqsJobQueues(get_sqs(), urls=urls, wake_up_url=settings.nudge_queue_url)

    @cached_property
    def _verifier(self) -> Callable[[str], Mapping[str, Any]]:
        from shared.api.auth.tokens import TokenVerifier

        return TokenVerifier.from_settings(self.settings)

    def verify_token(self, token: str) -> Mapping[str, Any]:
        """Return the claims of a token. Raise Refusal("unauthenticated"), Unavailable."""
        return self._verifier(token)

    def wake_relay_soon(self, jobs: Collection[UUID], *, delay_s: float = 0) -> Callable[[], object]:
        """Wake the relay from a background thread; the returned function waits until that has succeeded or failed."""
        wake = partial(self.queues.wake_relay, delay_s=delay_s, jobs=jobs)
        return self._background.submit(copy_context().run, wake).result


@cache
def get_container() -> Container:
    """Return the environment's container."""
    return Container(Settings.from_environ(os.environ))
