"""The settings: every tunable value with its unit and default, read once from the environment."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import fields, replace
from functools import cached_property
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.admission.ports import RateLimit
from shared.circuit.state import CircuitPolicy
from shared.fields import HomeCountry
from shared.retry.backoff import Backoff

# Requests and seconds, per client. 5 / 60 is a bucket of 5 from which one comes back every 12 s.
DEFAULT_LIMITS: Mapping[str, tuple[int, float]] = {
    "agent-application": (5, 60),
    "member-registration": (5, 60),
    "agent-registration": (20, 60),  # members registered by an agent or staff, counted per account
    "claim-submission": (5, 600),
    "claim-work": (60, 60),  # transitions and assignments, per staff account
    "membership-change": (10, 60),
    "document-upload": (10, 60),
    "read": (60, 60),
    "health-deep": (10, 60),
    # Calls that can't be read, counted apart, so that a client who fixes a form keeps the requests of the operation's
    # limit.
    "invalid-request": (20, 60),
}

# One for each service that is called. Mail's circuit stays open longest, since no client waits for a mail. S3 answers
# in tens of milliseconds, SES and Cognito in hundreds: ten times as long counts as slow. A lease outlasts the longest
# call, with every retry of its client: 17 s to send a mail, 56 s for the four calls that create an identity, 14 s for
# one call to S3.
DEFAULT_CIRCUITS: Mapping[str, CircuitPolicy] = {
    "email": CircuitPolicy(name="email", failures=5, open_s=60, slow_s=5, probe_lease_s=20),
    "identity": CircuitPolicy(name="identity", failures=5, open_s=30, slow_s=5, probe_lease_s=60),
    "storage": CircuitPolicy(name="storage", failures=5, open_s=30, slow_s=2, probe_lease_s=15),
}
# The tz database has no zone for Kosovo, whose clocks are those of Belgrade. The layer ships the database (tzdata),
# because Lambda's image need not contain it.
TIME_ZONES: Mapping[HomeCountry, str] = {"XK": "Europe/Belgrade", "MK": "Europe/Skopje", "AL": "Europe/Tirane"}
Positive = Annotated[int | float, Field(gt=0, allow_inf_nan=False)]
# Limits count whole microseconds: below a millisecond an interval could be rounded to zero. A bucket that takes longer
# than a day to fill, or holds more than a million requests, has no noticeable effect.
Burst = Annotated[int, Field(ge=1, le=1_000_000)]
Period = Annotated[float, Field(ge=0.001, le=86_400)]
_TUNABLE = frozenset(field.name for field in fields(CircuitPolicy)) - {"name"}
_COUNTS = frozenset(field.name for field in fields(CircuitPolicy) if field.type is int)
DEFAULT_RETRY = Backoff()


class RetrySettings(BaseModel):
    """The retries of transactions; the fields are those of `Backoff`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # No request lives for half a minute; within these bounds the longest wait can be represented as a float.
    retries: int = Field(default=DEFAULT_RETRY.retries, ge=0, le=20)  # 0: one attempt for each transaction
    base_s: float = Field(default=DEFAULT_RETRY.base_s, gt=0, le=60)
    factor: float = Field(default=DEFAULT_RETRY.factor, ge=1, le=10)
    cap_s: float = Field(default=DEFAULT_RETRY.cap_s, gt=0, le=60)


class Settings(BaseModel):
    """The settings from the environment; each field is named after its variable, in lower case."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    service_version: str = "dev"
    release: str = ""  # the id that `make deploy` has written into the template; empty if nobody has
    aws_region: str = "eu-central-1"
    aws_endpoint_url: str | None = None
    country: HomeCountry = "XK"  # the country that this stack serves

    db_host: str = "127.0.0.1"
    db_port: int = Field(default=5432, ge=1, le=65_535)
    db_name: str = "interdomestik"
    db_user: str = "interdomestik_app"
    db_auth: Literal["iam", "password", "trust"] = "iam"
    db_password: str | None = Field(default=None, repr=False)
    db_sslmode: Literal["verify-full", "require", "prefer", "disable"] = "verify-full"
    # The roots that verify-full trusts: those of RDS Proxy, those of RDS in this region, or a file of PEM certificates.
    db_sslrootcert: str = Field(default="rds-proxy", pattern=r"^(rds-proxy|rds|/\S+)$")
    db_pipeline: Literal["on", "off"] = "on"  # off: a transaction's statements one by one, a round trip each
    # Upper bounds as the parameters have: CloudFormation refuses what the functions would refuse at their start.
    db_max_connections: int = Field(default=50, gt=0, le=1000)
    db_connect_timeout: float = Field(default=10, gt=0, le=28, allow_inf_nan=False)
    db_idle_timeout: float = Field(default=20, gt=0, lt=1800, allow_inf_nan=False)
    db_max_lifetime: float = Field(default=3600, gt=0, lt=86_400, allow_inf_nan=False)

    state_table: str = "state"
    queue_high_url: str = ""
    queue_normal_url: str = ""
    queue_low_url: str = ""
    nudge_queue_url: str = ""
    evidence_bucket: str = ""
    user_pool_id: str = ""
    user_pool_client_id: str = ""
    mail_sender: str = "no-reply@interdomestik.test"
    mail_rate: float = Field(default=1, ge=0.001, allow_inf_nan=False)  # recipients a second; SES's sandbox takes one
    mail_burst: int = Field(default=4, gt=0)
    desk_mailbox: str = "desk@interdomestik.test"
    desk_language: Literal["sq", "en", "mk", "sr"] = "en"
    app_url: str = "https://app.interdomestik.test"
    allowed_origins: str = "*"
    cursor_secret: str = Field(default="", repr=False)
    # Key for hashing addresses. The default is random: limits by address then count in each environment separately.
    address_secret: str = Field(default_factory=lambda: secrets.token_hex(32), repr=False)
    limits: dict[str, tuple[Burst, Period]] = Field(default_factory=dict)
    circuits: dict[str, dict[str, Positive]] = Field(default_factory=dict)
    retry: RetrySettings = Field(default_factory=RetrySettings)

    @field_validator("limits", "circuits", "retry", mode="before")
    @classmethod
    def _parse_json(cls, value: Any) -> Any:
        return json.loads(value or "{}") if isinstance(value, str) else value

    @field_validator("limits")
    @classmethod
    def _check_limit_names(cls, value: dict[str, tuple[int, float]]) -> dict[str, tuple[int, float]]:
        if unknown := sorted(set(value) - set(DEFAULT_LIMITS)):
            raise ValueError(f"no such limit: {', '.join(unknown)}")
        return value

    @field_validator("circuits")
    @classmethod
    def _check_circuit_names(cls, value: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        if unknown := sorted(set(value) - set(DEFAULT_CIRCUITS)):
            raise ValueError(f"no such circuit: {', '.join(unknown)}")
        if unknown := sorted({name for changes in value.values() for name in changes} - _TUNABLE):
            raise ValueError(f"unknown keys of a circuit: {', '.join(unknown)}")
        if parts := sorted(
            {name for changes in value.values() for name in _COUNTS & set(changes) if changes[name] % 1}
        ):
            raise ValueError(f"not a whole number: {', '.join(parts)}")
        return value

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Settings":
        """Return the settings of an environment; an empty variable counts as not set. Raise ValidationError."""
        return cls.model_validate(
            {k.lower(): v for k, v in environ.items() if v != "" and k.lower() in cls.model_fields}
        )

    @property
    def time_zone(self) -> ZoneInfo:
        """Return the time zone of the stack's country, which decides the current date."""
        return ZoneInfo(TIME_ZONES[self.country])

    @property
    def version(self) -> str:
        """Return the version that health reports: with the release's id at its end, if there is one."""
        return f"{self.service_version}+{self.release}" if self.release else self.service_version

    @cached_property
    def origins(self) -> frozenset[str]:
        """Return the web origins that may call the API from a browser."""
        return frozenset(origin.strip() for origin in self.allowed_origins.split(","))

    def find_limit(self, name: str) -> RateLimit:
        """Return the rate limit of this name: the configured one, or else the default."""
        burst, period_s = self.limits.get(name) or DEFAULT_LIMITS[name]
        return RateLimit(name=name, burst=burst, period_s=period_s)

    def find_circuit_policy(self, name: str) -> CircuitPolicy:
        """Return the circuit policy of this name: the default with the configured changes."""
        changes: dict[str, Any] = {
            each: int(value) if each in _COUNTS else value for each, value in self.circuits.get(name, {}).items()
        }
        return replace(DEFAULT_CIRCUITS[name], **changes)

    @property
    def backoff(self) -> Backoff:
        """Return the backoff of transactions: the default with the configured changes."""
        return Backoff(**self.retry.model_dump())
