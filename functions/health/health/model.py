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

    status: Literal["healthy"]
    version: str
    time: datetime


class ConnectionUsage(ResponseModel):
    """Database connections of the functions' roles, in all environments together."""

    used: int | None = Field(
        description="Sessions of the functions' roles in PostgreSQL, in use or idle, with this check's own"
    )
    max: int = Field(description="Limit of the proxy's pool and of the roles; health is degraded from 90 % of it on")


class SchemaCheck(ResponseModel):
    """The version of the database's schema."""

    newest: str | None = Field(description="Newest migration that is applied")
    missing: int | None = Field(
        description="Migrations of this release that are not applied; with any of them health is unhealthy"
    )


class LastFailover(ResponseModel):
    """The last change of the writer."""

    detected: bool = Field(description="Whether it happened in the last few minutes")
    at: datetime | None


class DatabaseCheck(ResponseModel):
    """The database; unknown values are null."""

    status: HealthStatus
    latency_ms: float
    role: DatabaseRole | None
    server: str | None = Field(description="Opaque id of the server that answers")
    schema_version: SchemaCheck
    connections: ConnectionUsage
    failover: LastFailover


class ServiceCheck(ResponseModel):
    """A service that the functions call; `since` is when its circuit entered its state."""

    status: HealthStatus
    latency_ms: float
    circuit: CircuitState
    since: datetime | None


class DependencyChecks(ResponseModel):
    """The checks of all dependencies."""

    database: DatabaseCheck
    email: ServiceCheck
    identity: ServiceCheck
    storage: ServiceCheck
    queue: ServiceCheck
    state_store: ServiceCheck


class JobCounts(ResponseModel):
    """Jobs of the outbox; null if the database did not answer."""

    pending: int | None = Field(description="Jobs that have not begun, counted up to 10000")
    oldest_pending_s: float | None = Field(
        description="Age of the oldest unfinished job in seconds; 0 if there is none"
    )
    failed: int | None = Field(description="Jobs that wait for a person, failed or uncertain, counted up to 10000")
    held: int | None = Field(
        description="Jobs, among the pending, that wait because their service's circuit is open, counted up to 10000"
    )
    oldest_held_s: float | None = Field(description="Seconds since the oldest held job was written; 0 if there is none")


class TransactionRetries(ResponseModel):
    """Retried transactions of all environments together."""

    last_minute: int | None = Field(description="In the last 60 seconds; null if unknown")


class ProcessUsage(ResponseModel):
    """The process that answers."""

    uptime_s: float
    memory_mb: float
    cpu_s: float
    cold_start: bool


class Findings(ResponseModel):
    """The state that a check found."""

    status: HealthStatus
    version: str
    checked_at: datetime
    checks: DependencyChecks
    jobs: JobCounts
    transaction_retries: TransactionRetries


class HealthReport(Findings):
    """The service's health: `degraded` still accepts work, `unhealthy` has no database that it can use."""

    runtime: ProcessUsage
