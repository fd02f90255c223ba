"""The responses of the health checks."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.fields import ResponseModel

HealthStatus = Literal["healthy", "degraded", "unhealthy"]
CircuitState = Literal["closed", "open", "half_open"]
DatabaseRole = Literal["writer", "reader"]


class HealthView(ResponseModel):
    """The answer of a process that works."""

    status: Literal["healthy"] = Field(description="Always healthy: a process that can answer is.")
    version: str = Field(description="The release that answers.")
    time: datetime = Field(description="What the clock of the process says.")


class ConnectionUsage(ResponseModel):
    """Database connections of the functions' roles, in all environments together."""

    used: int | None = Field(
        description="Sessions of the functions' roles in PostgreSQL, in use or idle, including the one of this check."
    )
    max: int = Field(
        description="The limit of the proxy's pool and of the roles; health is degraded from 90 % of it on."
    )


class SchemaCheck(ResponseModel):
    """The version of the database's schema."""

    newest: str | None = Field(description="The newest migration that is applied.")
    missing: int | None = Field(
        description="Migrations of this release that are not applied; with any of them health is unhealthy."
    )


class LastFailover(ResponseModel):
    """The last change of the writer."""

    detected: bool = Field(description="Whether it happened in the last few minutes.")
    at: datetime | None = Field(description="When another server became the writer; null if none has.")


class DatabaseCheck(ResponseModel):
    """The database; unknown values are null."""

    status: HealthStatus = Field(
        description="How well it works: unhealthy if it takes no writes, degraded if slow or short of connections."
    )
    latency_ms: float = Field(description="Milliseconds until it answered, or until the check gave up.")
    role: DatabaseRole | None = Field(description="Whether the server that answers takes writes; null if none answers.")
    server: str | None = Field(description="An opaque id of the server that answers.")
    schema_version: SchemaCheck = Field(description="Which migrations are applied.")
    connections: ConnectionUsage = Field(description="How many of its connections are taken.")
    failover: LastFailover = Field(description="When another server last took over.")


class ServiceCheck(ResponseModel):
    """A service that the functions call; `since` is when its circuit entered its state."""

    status: HealthStatus = Field(
        description="How well it works: unhealthy if it does not answer, degraded if it is slow, late or not called."
    )
    latency_ms: float = Field(description="Milliseconds until it answered, or until the check gave up.")
    circuit: CircuitState = Field(description="Whether the functions call it.")
    since: datetime | None = Field(description="When its circuit entered its state; null if it was always closed.")


class DependencyChecks(ResponseModel):
    """The checks of all dependencies."""

    database: DatabaseCheck = Field(description="PostgreSQL, which holds all records.")
    email: ServiceCheck = Field(description="The service that sends mails (SES).")
    identity: ServiceCheck = Field(description="The service that keeps the sign-ins (Cognito).")
    storage: ServiceCheck = Field(description="The service that keeps documents (S3).")
    queue: ServiceCheck = Field(description="The service that carries jobs to the worker (SQS).")
    state_store: ServiceCheck = Field(description="The table of idempotency keys, limits and circuits (DynamoDB).")


class JobCounts(ResponseModel):
    """Jobs of the outbox; null if the database did not answer."""

    pending: int | None = Field(description="Jobs that have not begun, counted up to 10000.")
    oldest_pending_s: float | None = Field(
        description="The age of the oldest unfinished job in seconds; 0 if there is none."
    )
    failed: int | None = Field(description="Jobs that wait for a person, failed or uncertain, counted up to 10000.")
    held: int | None = Field(
        description="Jobs, among the pending, that wait because their service's circuit is open, counted up to 10000."
    )
    oldest_held_s: float | None = Field(
        description="Seconds since the oldest held job was written; 0 if there is none."
    )


class TransactionRetries(ResponseModel):
    """Retried transactions of all environments together."""

    last_minute: int | None = Field(description="In the last 60 seconds; null if unknown.")


class ProcessUsage(ResponseModel):
    """The process that answers."""

    uptime_s: float = Field(description="Seconds since the process began.")
    memory_mb: float = Field(description="Memory that the process takes, in megabytes of 2^20 bytes.")
    cpu_s: float = Field(description="Seconds of processor time that it has used.")
    cold_start: bool = Field(description="Whether this is its first call, for which it was started.")


class Findings(ResponseModel):
    """The state that a check found."""

    status: HealthStatus = Field(
        description="How well all works: unhealthy without a usable database, else degraded if a check is not healthy."
    )
    version: str = Field(description="The release that answers.")
    checked_at: datetime = Field(description="When it was checked: calls within a few seconds share the result.")
    checks: DependencyChecks = Field(description="What each dependency answered.")
    jobs: JobCounts = Field(description="The work that is written down and not done yet.")
    transaction_retries: TransactionRetries = Field(description="How often transactions had to be repeated.")


class HealthReport(Findings):
    """The service's health: `degraded` still accepts work, `unhealthy` has no database that it can use."""

    runtime: ProcessUsage = Field(description="What the process that answers uses of its machine.")
