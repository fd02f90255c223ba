"""The answers of the health checks."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.fields import ResponseModel

Status = Literal["healthy", "degraded", "unhealthy"]
CircuitState = Literal["closed", "open", "half_open"]
Role = Literal["writer", "reader"]


class HealthView(ResponseModel):
    """That the process answers."""

    status: Literal["healthy"]
    version: str
    time: datetime


class ConnectionUsage(ResponseModel):
    """Connections of the functions' role to the database, of the whole fleet."""

    used: int | None = Field(
        description="Sessions of the functions' roles in PostgreSQL, in use or idle, with this check's own"
    )
    max: int = Field(description="Limit of the proxy's pool and of the roles; health is degraded from 90 % of it on")


class LastFailover(ResponseModel):
    """The last change of the writer."""

    detected: bool = Field(description="Whether it happened in the last few minutes")
    at: datetime | None


class DatabaseCheck(ResponseModel):
    """The database; what is null could not be had."""

    status: Status
    latency_ms: float
    role: Role | None
    server: str | None = Field(description="Opaque id of the server that answers")
    connections: ConnectionUsage
    failover: LastFailover


class ServiceCheck(ResponseModel):
    """A service the functions call; `since` is when its circuit got into this state."""

    status: Status
    latency_ms: float
    circuit: CircuitState
    since: datetime | None


class DependencyChecks(ResponseModel):
    """All that was asked."""

    database: DatabaseCheck
    email: ServiceCheck
    identity: ServiceCheck
    storage: ServiceCheck
    queue: ServiceCheck
    state_store: ServiceCheck


class JobCounts(ResponseModel):
    """Jobs of the outbox; null where the database did not say."""

    pending: int | None = Field(description="Jobs that have not begun, counted up to 10000")
    oldest_pending_s: float | None = Field(
        description="Age of the oldest unfinished job in seconds; 0 if there is none"
    )
    failed: int | None = Field(description="Jobs that wait for a person, failed or uncertain, counted up to 10000")


class TransactionRetries(ResponseModel):
    """Transactions tried again by the whole fleet."""

    last_minute: int | None = Field(description="In the last 60 seconds; null if unknown")


class ProcessUsage(ResponseModel):
    """The process that answers."""

    uptime_s: float
    memory_mb: float
    cpu_s: float
    cold_start: bool


class Findings(ResponseModel):
    """The state that a check found."""

    status: Status
    version: str
    checked_at: datetime
    checks: DependencyChecks
    jobs: JobCounts
    transaction_retries: TransactionRetries


class HealthReport(Findings):
    """The service's health: `degraded` still takes work, `unhealthy` has no writable database."""

    runtime: ProcessUsage
