"""Each constant with a number is stated here once: the contract's, and those that were chosen by measuring."""

import importlib
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.resilience.backoff import Backoff
from shared.resilience.priority_pace import Priority
from tests.settings.deployed import constant, constants

MINUTE, HOUR, DAY = 60, 3600, 86_400
SECOND = 1_000_000  # the pace and the limits count microseconds

# What the contract says: another value is another product.
CONTRACT: dict[str, Any] = {
    "shared.aws.evidence:UPLOAD_EXPIRES_S": 15 * MINUTE,
    "shared.aws.evidence:DOWNLOAD_EXPIRES_S": 5 * MINUTE,
    "claims.documents:FORM_LIFE": timedelta(minutes=15),
    "claims.documents:LINK_LIFE": timedelta(minutes=5),
    "claims.model:MAX_DOCUMENT_BYTES": 10 * 1024 * 1024,
    "claims.model:EARLIEST_INCIDENT": date(1990, 1, 1),
    "claims.evidence:PDF_HEADER_WITHIN": 1024,
    "agents.service:APPLY_AGAIN_AFTER": timedelta(days=30),
    "agents.referral:NAME_LETTERS": 8,
    "agents.referral:RANDOM_CHARACTERS": 4,
    "members.service:NEW_MEMBER_RATE": Decimal("0.20"),
    "members.service:RENEWAL_RATE": Decimal("0.10"),
    "members.service:WITHDRAWAL_DAYS": 14,
    "shared.clock:LATEST_LOCAL_OFFSET": timedelta(hours=14),
    "shared.http.addresses:IPV6_PREFIX_BITS": 64,
    "shared.http.body:MAX_BODY_BYTES": 256 * 1024,
    "shared.http.idempotency_key:MAX_KEY_LENGTH": 255,
    "shared.http.problems:MAX_ERRORS": 20,
    "shared.http.problems:MAX_POINTER_LENGTH": 200,
    "shared.http.tokens:LEEWAY_S": 10,
    "shared.resilience.admission:KEY_LIFE_S": DAY,
    "shared.settings:DEFAULT_RETRY": Backoff(retries=3, base_s=0.1, factor=2.0, cap_s=5.0),
    "health.service:NEARLY_USED_UP": 0.9,
    "jobs.housekeeping:DOCUMENT_AGE": timedelta(days=1),
    "jobs.housekeeping:KEY_AGE": timedelta(days=1),
    "jobs.housekeeping:GREETING_AGE": timedelta(days=1),
}
# What was chosen, mostly by measuring: the reason stands at each, and another value wants another look at it.
CHOSEN: dict[str, Any] = {
    "agents.app:CODE_ATTEMPTS": 3,
    "health.check:PROBES_S": 1.5,
    "health.check:CHECK_S": 2.0,
    "health.check:KEPT": timedelta(seconds=5),
    "health.process:MEGABYTE": 1024 * 1024,
    "health.service:DATABASE_SLOW_S": 0.5,
    "health.service:SERVICE_SLOW_S": 1.0,
    "health.lateness:MARGIN_S": {"high": 2 * MINUTE, "normal": 5 * MINUTE, "low": 5 * MINUTE},
    "health.lateness:LEAST_SHARE": 0.8,
    "health.lateness:LOOK_BACK_S": 20 * MINUTE,
    "health.lateness:COUNTED_AT_MOST": 10_000,
    "health.service:FAILOVER_SHOWN": timedelta(minutes=5),
    "health.wiring:CONNECT_S": 2.0,
    "jobs.admin:AUDIT_S": 5.0,
    "jobs.housekeeping:BATCH": 200,
    "jobs.housekeeping:DOCUMENT_BATCH": 50,
    "jobs.housekeeping:DONE_JOB_AGE": timedelta(days=30),
    "jobs.housekeeping:REMINDER_LATENESS_DAYS": 7,
    "jobs.pace:AWAKE_S": 30.0,
    "jobs.pace:GONE_PAUSE_S": 5.0,
    "jobs.policy:RETRY": Backoff(retries=9, base_s=10.0, factor=2.0, cap_s=15 * MINUTE),
    "jobs.policy:MOST_ATTEMPTS": 10,
    "jobs.policy:PUBLISH_LEASE": timedelta(minutes=1),
    "jobs.policy:JOB_LEASE": timedelta(minutes=2),
    "jobs.relay:CLAIM_BATCH": 100,
    "jobs.relay:QUEUE_PATIENCE": timedelta(minutes=15),
    "jobs.relay:PUBLISH_PAUSE": timedelta(seconds=10),
    "jobs.work:JOB_TIME_S": 20.0,
    "jobs.work:SPREAD_S": 2.0,
    "jobs.worker:CIRCUIT_PATIENCE_S": 1.0,
    "shared.aws.clients:CONNECT_TIMEOUT_S": 2.0,
    "shared.aws.clients:STATE_CONNECT_TIMEOUT_S": 0.5,
    "shared.aws.clients:STATE_READ_TIMEOUT_S": 1.0,
    "shared.aws.clients:QUEUE_READ_TIMEOUT_S": 3.0,
    "shared.aws.clients:IDENTITY_READ_TIMEOUT_S": 5.0,
    "shared.aws.clients:STORAGE_READ_TIMEOUT_S": 5.0,
    "shared.aws.clients:MAIL_READ_TIMEOUT_S": 15.0,
    "shared.aws.clients:CIRCUITS_TIMEOUT_S": 0.5,
    "shared.aws.clients:PROBE_TIMEOUT_S": 1.2,
    "shared.aws.clients:ATTEMPTS": 2,
    "shared.aws.clients:MAIL_ATTEMPTS": 1,
    "shared.aws.evidence:MAGIC_BYTES": 1024,
    "shared.aws.fleet:MINUTE_S": MINUTE,
    "shared.aws.identity:_PASSWORD_BYTES": 32,
    "shared.aws.queues:BATCH": 10,  # SQS takes no more
    "shared.aws.queues:MAX_DELAY_S": 15 * MINUTE,  # nor longer
    "shared.aws.state:MAX_ANSWER_BYTES": 300 * 1024,
    "shared.aws.state:CROWDED": Backoff(retries=15, base_s=0.04, cap_s=0.3),
    "shared.aws.state:CONTENDED_RETRY_S": 1.0,
    "shared.aws.state:GONE_PAUSE_S": 5.0,
    "shared.aws.state_items:TTL_MARGIN_S": HOUR,
    "shared.aws.state_items:RUNNING_RETRY_S": 1.0,
    "shared.forms:_MAX_COUNTED": 2000,
    "shared.http.body:MAX_MEMBERS": 100,
    "shared.http.body:MAX_DEPTH": 64,
    "shared.http.cors:PREFLIGHT_LIFE_S": 2 * HOUR,
    "shared.http.pages:_TAG_BYTES": 12,
    "shared.http.pool_keys:FETCH_TIMEOUT_S": 3.0,
    "shared.http.pool_keys:MOST_BYTES": 65_536,
    "shared.http.pool_keys:FRESH_S": HOUR,
    "shared.http.pool_keys:STALE_S": DAY,
    "shared.http.pool_keys:COOL_DOWN_S": 5.0,
    "shared.http.running:LEASE_MARGIN_S": 1.0,
    "shared.postgres.connection:_KEEPALIVES": {
        "keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 2, "tcp_user_timeout": 3000,
    },
    "shared.postgres.connection:LEAST_CONNECT_S": 2.0,
    "shared.postgres.connection:LIFETIME_JITTER": 0.1,
    "shared.postgres.connection:CHECK_AFTER_IDLE_S": 2.0,
    "shared.postgres.connection:CHECK_S": 1.0,
    "shared.postgres.database:FLIGHT_S": 12.0,
    "shared.postgres.migrate:OTHER_SESSIONS": 5,
    "shared.postgres.visit:ONCE": Backoff(retries=0),
    "shared.resilience.breaker:TELL_TRIES": 10,
    "shared.resilience.breaker:ASK_AGAIN_S": 5.0,
    "shared.resilience.breaker:SOON_S": 1.0,
    "shared.resilience.budget:SUCCESSES_A_RETRY": 10,
    "shared.resilience.budget:MOST_SAVED": 1,
    "shared.resilience.budget:QUIET_S": 60.0,
    "shared.resilience.circuit:MOST_FAILURES": 100,
    "shared.resilience.circuit_store:FORCE_TRIES": 10,
    "shared.resilience.deadline:ANSWER_RESERVE_S": 0.5,
    "shared.resilience.gcra:SECOND": SECOND,
    "shared.resilience.gcra:REMEMBERED_BUCKETS": 4096,
    "shared.resilience.gcra:_MICROSECOND": timedelta(microseconds=1),
    "shared.resilience.priority_pace:OVERDUE": {Priority.NORMAL: 10, Priority.LOW: 20},
    "shared.resilience.priority_pace:OVERDUE_BEFORE_NORMAL": 10,
    "shared.resilience.priority_pace:SHORTEST_HORIZON": 3 * SECOND // 2,
    "shared.resilience.priority_pace:LONGEST_HORIZON": 5 * SECOND,
    "shared.resilience.priority_pace:RESERVED_AHEAD": 6,
    "shared.resilience.priority_pace:LONGEST_LEAD": SECOND // 50,
    "shared.resilience.priority_pace:NORMAL_GRACE": SECOND // 4,
    "shared.resilience.priority_pace:LONGEST_QUEUE": 10 * MINUTE * SECOND,
    "shared.resilience.priority_pace:MOST_LOST_WRITES": 50,
    "shared.resilience.priority_pace:CONTENDED_DELAY_S": 1.0,
    "shared.resilience.results:MOST_OUTCOMES": 256,
    "shared.resilience.store_line:STORE_WAIT_S": 0.04,
    "shared.resilience.store_line:STORE_PAUSE_S": 2.0,
    "shared.text:_MAX_EMAIL": 128,
    "shared.text:_MAX_LOCAL": 64,
    "shared.text:_REFERRAL_CHARACTERS": 4,
}  # fmt: skip
STATED = CONTRACT | CHOSEN


def _differences() -> dict[str, tuple[Any, Any]]:
    return {name: (constant(name), value) for name, value in STATED.items() if constant(name) != value}


def test_every_constant_is_stated() -> None:
    """One that is new or gone belongs into CONTRACT or CHOSEN, with its value as it is deployed."""
    assert sorted(constants()) == sorted(STATED)


@pytest.mark.parametrize("name", STATED)
def test_a_constant_is_the_one_decided_on(name: str) -> None:
    """Stated twice on purpose: here without the code's own words for it."""
    assert constant(name) == STATED[name]


@pytest.mark.parametrize("name", STATED)
def test_a_change_of_any_constant_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its name."""
    module, _, attribute = name.partition(":")
    monkeypatch.setattr(importlib.import_module(module), attribute, _other(STATED[name]))
    assert name in _differences()


def _other(value: Any) -> Any:
    match value:
        case Backoff():
            return Backoff(value.retries * 100 + 1, value.base_s, value.factor, value.cap_s)
        case date():
            return value - timedelta(days=1)
        case dict():
            return {key: each * 100 for key, each in value.items()}
    return value * 100
