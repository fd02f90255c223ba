"""Each constant with a number is stated here once: the contract's, and those that were chosen by measuring."""

import importlib
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import pytest

from shared.retry.backoff import Backoff
from tests.settings.deployed import list_constants, read_constant
from worker.priority_pacing import Priority

MINUTE, HOUR, DAY = 60, 3600, 86_400
SECOND = 1_000_000  # the pace and the limits count microseconds

# Values that the contract promises: with another one it would be another product.
CONTRACT: dict[str, Any] = {
    "shared.aws.s3:UPLOAD_EXPIRES_S": 15 * MINUTE,
    "shared.aws.s3:DOWNLOAD_EXPIRES_S": 5 * MINUTE,
    "claims.documents:FORM_LIFE": timedelta(minutes=15),
    "claims.documents:LINK_LIFE": timedelta(minutes=5),
    "claims.model:MAX_DOCUMENT_BYTES": 10 * 1024 * 1024,
    "claims.model:EARLIEST_INCIDENT": date(1990, 1, 1),
    "claims.file_types:PDF_HEADER_WITHIN": 1024,
    "agents.service:APPLY_AGAIN_AFTER": timedelta(days=30),
    "agents.referral_codes:NAME_LETTERS": 8,
    "agents.referral_codes:RANDOM_CHARACTERS": 4,
    "members.service:NEW_MEMBER_RATE": Decimal("0.20"),
    "members.service:RENEWAL_RATE": Decimal("0.10"),
    "members.service:WITHDRAWAL_DAYS": 14,
    "members.service:MOST_WORDS": 4,
    "members.model:LONGEST_PHONE_PART": 30,
    "shared.clock:LATEST_LOCAL_OFFSET": timedelta(hours=14),
    "shared.api.client_address:IPV6_PREFIX_BITS": 64,
    "shared.api.body:MAX_BODY_BYTES": 256 * 1024,
    "shared.api.parsing:MAX_KEY_LENGTH": 255,
    "shared.api.problems:MAX_ERRORS": 20,
    "shared.api.problems:MAX_POINTER_LENGTH": 200,
    "shared.api.auth.tokens:LEEWAY_S": 10,
    "shared.admission.ports:KEY_LIFE_S": DAY,
    "shared.settings:DEFAULT_RETRY": Backoff(retries=3, base_s=0.1, factor=2.0, cap_s=5.0),
    "health.service:NEARLY_USED_UP": 0.9,
    "housekeeping.app:DOCUMENT_AGE": timedelta(days=1),
    "housekeeping.app:KEY_AGE": timedelta(days=1),
    "housekeeping.app:UNSOLICITED_MAIL_AGE": timedelta(days=1),
}
# Values that we chose, mostly by measuring. The reason stands at each; read it before you change the value.
CHOSEN: dict[str, Any] = {
    "agents.app:CODE_ATTEMPTS": 3,
    "health.deep_check:QUERIES_S": 1.5,
    "health.deep_check:CHECK_S": 2.0,
    "health.deep_check:CACHED_FOR": timedelta(seconds=5),
    "health.process_stats:MEGABYTE": 1024 * 1024,
    "health.service:DATABASE_SLOW_S": 0.5,
    "health.service:SERVICE_SLOW_S": 1.0,
    "health.lateness:MARGIN_S": {"high": 2 * MINUTE, "normal": 5 * MINUTE, "low": 5 * MINUTE},
    "health.lateness:LEAST_SHARE": 0.8,
    "health.lateness:LOOK_BACK_S": 20 * MINUTE,
    "health.lateness:COUNTED_AT_MOST": 10_000,
    "health.service:FAILOVER_SHOWN": timedelta(minutes=5),
    "health.container:CONNECT_S": 2.0,
    "operations.app:AUDIT_S": 5.0,
    "operations.circuit_commands:MARGIN_S": 0.2,
    "operations.lost_writes:FIRST_REFUSAL": 400,
    "operations.lost_writes:SKIPPED_NUMBERS": 1000,
    "operations.reconciliation:CLOCK_SKEW": timedelta(minutes=1),
    "operations.reconciliation:EXPIRING": timedelta(minutes=5),
    "operations.reconciliation:KEY_LIFE": timedelta(days=1),
    "operations.reconciliation:MOST_LISTED": 2000,
    "operations.reconciliation:PAGE_TIME_S": 30.0,
    "operations.reconciliation:MAIL_BATCH": 200,
    "operations.reconciliation:RECORD_LIFE": timedelta(hours=25),
    "operations.reconciliation:YOUNGEST_ROW": timedelta(seconds=90),
    "shared.aws.dynamodb_taken_keys:PAGE_ITEMS": 500,
    "shared.aws.listings:PAGE_OBJECTS": 1000,
    "shared.aws.listings:PAGE_IDENTITIES": 60,  # Cognito returns no more
    "migration.app:RESERVE_S": 30.0,
    "migration.app:AUDIT_S": 5.0,
    "migration.app:CONNECT_WITHIN_S": 300.0,
    "migration.app:ROLLBACK_WITHIN_S": 60.0,
    "migration.custom_resource:ANSWER_S": 10.0,
    "migration.custom_resource:REASON_CHARACTERS": 1000,
    "database_setup.app:ATTEMPTS": 12,
    "pretraffic.checks:MOST_CHARACTERS": 200,
    "pretraffic.logs:MOST_FRAMES": 8,
    "pretraffic.report:ATTEMPTS": 4,
    "pretraffic.report:CONNECT_S": 3.0,
    "pretraffic.report:READ_S": 10.0,
    "pretraffic.report:LONGEST_PAUSE_S": 2.0,
    "pretraffic.report:REPORT_S": 65.0,
    "pretraffic.versions:ATTEMPTS": 3,
    "pretraffic.versions:PAUSE_S": 5.0,
    "pretraffic.versions:CONNECT_S": 3.0,
    "pretraffic.versions:READ_S": 30.0,
    "pretraffic.versions:FIRST_WAIT_S": 1.0,
    "pretraffic.versions:LONGEST_WAIT_S": 15.0,
    "database_setup.app:PAUSE_S": 10.0,
    "database_setup.app:ANSWER_S": 10.0,
    "database_setup.app:REASON_CHARACTERS": 1000,
    "housekeeping.app:BATCH": 200,
    "housekeeping.app:DOCUMENT_BATCH": 50,
    "housekeeping.app:DONE_JOB_AGE": timedelta(days=30),
    "housekeeping.app:REMINDER_LATENESS_DAYS": 7,
    "worker.mail_pacing:AWAKE_S": 30.0,
    "worker.mail_pacing:UNAVAILABLE_PAUSE_S": 5.0,
    "shared.outbox.retry_policy:RETRY": Backoff(retries=9, base_s=10.0, factor=2.0, cap_s=15 * MINUTE),
    "shared.outbox.retry_policy:MOST_ATTEMPTS": 10,
    "relay.app:PUBLISH_LEASE": timedelta(minutes=1),
    "worker.job_runner:JOB_LEASE": timedelta(minutes=2),
    "relay.app:CLAIM_BATCH": 100,
    "relay.app:QUEUE_PATIENCE": timedelta(minutes=15),
    "relay.app:PUBLISH_PAUSE": timedelta(seconds=10),
    "relay.answers:KEEP_BATCH": 25,
    "relay.answers:KEEP_TIME_S": 0.2,
    "shared.aws.dynamodb_answer_keeper:FAILURE_PAUSE_S": 30.0,
    "relay.answers:MARK_TIME_S": 3.0,
    "shared.outbox.waking:LATE_S": 0.3,
    "shared.outbox.waking:KEEP_DELAY_S": 1.0,
    "worker.job_runner:JOB_TIME_S": 20.0,
    "worker.job_runner:SPREAD_S": 2.0,
    "worker.job_runner:MOST_HOPS": 4,
    "worker.app:CIRCUIT_PATIENCE_S": 1.0,
    "worker.app:MOST_DELIVERIES": 5,
    "shared.aws.clients:CONNECT_TIMEOUT_S": 2.0,
    "shared.aws.clients:STATE_CONNECT_TIMEOUT_S": 0.5,
    "shared.aws.clients:STATE_READ_TIMEOUT_S": 1.0,
    "shared.aws.clients:QUEUE_READ_TIMEOUT_S": 3.0,
    "shared.aws.clients:IDENTITY_READ_TIMEOUT_S": 5.0,
    "shared.aws.clients:STORAGE_READ_TIMEOUT_S": 5.0,
    "shared.aws.clients:MAIL_READ_TIMEOUT_S": 15.0,
    "shared.aws.clients:IMPATIENT_TIMEOUT_S": 0.5,
    "shared.aws.clients:HEALTH_QUERY_TIMEOUT_S": 1.2,
    "shared.aws.clients:ATTEMPTS": 2,
    "shared.aws.clients:MAIL_ATTEMPTS": 1,
    "shared.aws.s3:MAGIC_BYTES": 1024,
    "shared.aws.dynamodb_shared_state:MINUTE_S": MINUTE,
    "shared.aws.cognito:_PASSWORD_BYTES": 32,
    "shared.aws.sqs:BATCH": 10,  # SQS takes no more
    "shared.aws.sqs:MAX_DELAY_S": 15 * MINUTE,  # nor longer
    "shared.aws.dynamodb_admission:MAX_ANSWER_BYTES": 300 * 1024,
    "shared.aws.dynamodb_admission:CONTENTION_BACKOFF": Backoff(retries=15, base_s=0.04, cap_s=0.3),
    "shared.aws.dynamodb_admission:CONTENDED_RETRY_S": 1.0,
    "shared.aws.dynamodb_admission:UNAVAILABLE_PAUSE_S": 5.0,
    "shared.aws.dynamodb_admission_items:TTL_MARGIN_S": HOUR,
    "shared.aws.dynamodb_admission_items:RUNNING_RETRY_S": 1.0,
    "shared.fields.text_formats:_MAX_COUNTED": 2000,
    "shared.api.body:MAX_MEMBERS": 100,
    "shared.api.body:MAX_DEPTH": 64,
    "shared.api.cors:PREFLIGHT_LIFE_S": 2 * HOUR,
    "shared.api.pagination:_TAG_BYTES": 12,
    "shared.api.auth.rs256:LEAST_KEY_BITS": 2048,
    "shared.api.auth.signing_keys:FETCH_TIMEOUT_S": 3.0,
    "shared.api.auth.signing_keys:MOST_BYTES": 65_536,
    "shared.api.auth.signing_keys:FRESH_S": HOUR,
    "shared.api.auth.signing_keys:STALE_S": DAY,
    "shared.api.auth.signing_keys:COOL_DOWN_S": 5.0,
    "shared.api.execution:LEASE_MARGIN_S": 1.0,
    "shared.database.connection:_KEEPALIVES": {
        "keepalives_idle": 2, "keepalives_interval": 1, "keepalives_count": 2, "tcp_user_timeout": 3000,
    },
    "shared.database.connection:LEAST_CONNECT_S": 2.0,
    "shared.database.connection:REASON_CHARACTERS": 1000,
    "shared.database.connection:LIFETIME_JITTER": 0.1,
    "shared.database.connection:CHECK_AFTER_IDLE_S": 2.0,
    "shared.database.connection:CHECK_S": 1.0,
    "shared.database.pipeline:ROUND_TRIP_S": 12.0,
    "shared.database.migrate:OTHER_SESSIONS": 5,
    "shared.database.migrate:WITHIN_S": 14 * MINUTE,
    "shared.database.migrate:LOCK_WAIT_S": 5.0,
    "shared.database.migrate:LOCK_PAUSE_S": 2.0,
    "shared.database.migrate:CONNECT_PAUSE_S": 5.0,
    "shared.database.migrate:REFUSED_S": 60.0,
    "shared.database.migrate:CLIENT_CHECK_S": 2.0,
    "shared.database.migrate:IDLE_S": 30.0,
    "shared.database.migration_errors:REASON_CHARACTERS": 500,
    "health.one_off_read:ONCE": Backoff(retries=0),
    "shared.circuit.local_view:ASK_AGAIN_S": 5.0,
    "shared.circuit.breaker:SOON_S": 1.0,
    "shared.retry.budget:SUCCESSES_A_RETRY": 10,
    "shared.retry.budget:MOST_SAVED": 1,
    "shared.retry.budget:QUIET_S": 60.0,
    "shared.circuit.state:MOST_FAILURES": 100,
    "shared.circuit.store:FORCE_ATTEMPTS": 10,
    "shared.deadline:ANSWER_RESERVE_S": 0.5,
    "shared.tracing:LONGEST_TRACEPARENT": 255,
    "shared.tracing:_SAMPLED": 1,
    "shared.units:SECOND": SECOND,
    "shared.admission.gcra:MOST_RECENT_BUCKETS": 4096,
    "shared.units:_MICROSECOND": timedelta(microseconds=1),
    "worker.priority_pacing:OVERDUE": {Priority.NORMAL: 10, Priority.LOW: 20},
    "worker.priority_pacing:OVERDUE_BEFORE_NORMAL": 10,
    "worker.priority_pacing:SHORTEST_HORIZON": 3 * SECOND // 2,
    "worker.priority_pacing:LONGEST_HORIZON": 5 * SECOND,
    "worker.priority_pacing:RESERVED_AHEAD": 6,
    "worker.priority_pacing:LONGEST_LEAD": SECOND // 50,
    "worker.priority_pacing:NORMAL_GRACE": SECOND // 4,
    "worker.priority_pacing:LONGEST_QUEUE": 10 * MINUTE * SECOND,
    "worker.priority_pacing:MOST_LOST_WRITES": 50,
    "worker.priority_pacing:CONTENDED_DELAY_S": 1.0,
    "shared.circuit.local_view:MOST_OUTCOMES": 256,
    "shared.circuit.client:MOST_REQUESTS": 12,
    "shared.circuit.client:STORE_WAIT_S": 0.04,
    "shared.circuit.client:STORE_PAUSE_S": 2.0,
    "shared.api.field_errors:_MAX_REPEATED": 10**12,
    "shared.fields:_MAX_EMAIL": 128,
    "shared.fields:_MAX_LOCAL": 64,
    "shared.fields:_REFERRAL_CHARACTERS": 4,
}  # fmt: skip
STATED = CONTRACT | CHOSEN


def _differences() -> dict[str, tuple[Any, Any]]:
    return {name: (read_constant(name), value) for name, value in STATED.items() if read_constant(name) != value}


def test_every_constant_is_stated() -> None:
    """A new constant belongs into CONTRACT or CHOSEN, with its deployed value."""
    assert sorted(list_constants()) == sorted(STATED)


@pytest.mark.parametrize("name", STATED)
def test_a_constant_is_the_one_decided_on(name: str) -> None:
    """Stated twice on purpose: here without the code's own words for it."""
    assert read_constant(name) == STATED[name]


@pytest.mark.parametrize("name", STATED)
def test_a_change_of_any_constant_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The failure names the constant."""
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
