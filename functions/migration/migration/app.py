"""The handler of the custom resource `Migration` of template.yaml, which runs this release's migrations when deployed.

CloudFormation calls it by this function's alias, which is on the new version by then, and updates the functions that
serve only after its answer. CloudFormation gets an answer or stops waiting: Lambda repeats an invocation that died, and
the resource has a ServiceTimeout. A run may be repeated, and may overlap another one.

Migrations only go forward. A rollback has nothing to undo, since the earlier release runs on the schema of the later
one, and no trouble of the database may keep CloudFormation from going back.
"""

import os
from collections.abc import Mapping
from typing import Any

from migration.custom_resource import ResourceRequest, send_answer
from shared.clock import read_monotonic
from shared.container import get_container
from shared.database.migration_errors import MigrationError
from shared.database.schema_version import find_migrations
from shared.deadline import Deadline
from shared.logging import count_first_runs, describe_failure, logger
from shared.outbox.audit import record_migrations

ACTOR = "deployment"  # in the audit
# What is left of Lambda's time for the audit entry and the answer.
RESERVE_S = 30.0
AUDIT_S = 5.0  # a database that takes longer to write the entry counts as down
# A database that the same deployment has made may not accept connections yet: the proxy first has to find its targets.
CONNECT_WITHIN_S = 300.0
# Nothing depends on what a rollback finds, so it does not wait for it.
ROLLBACK_WITHIN_S = 60.0


def handler(event: Mapping[str, Any], context: Any) -> None:
    """Serve as Lambda's entry point: carry out CloudFormation's request, and answer it whatever happens."""
    try:
        carry_out_request(ResourceRequest.from_event(event), context)
    except Exception as error:  # noqa: BLE001 - without an answer the deployment would wait
        logger.error("migration_failed", extra={"reason": describe_reason(error), **describe_failure(error)})
        place = f"log {context.log_group_name}, {context.aws_request_id}"
        send_answer(event, "FAILED", f"{describe_reason(error)} ({place})")
    else:
        send_answer(event, "SUCCESS")


def describe_reason(error: Exception) -> str:
    """Return why the migrations failed: a MigrationError's message, or another error's class, as it may quote rows."""
    return str(error) if isinstance(error, MigrationError) else type(error).__name__


def carry_out_request(request: ResourceRequest, context: Any) -> None:
    """Migrate the schema, unless the resource is deleted. Raise MigrationError, but not during a rollback."""
    left_s = context.get_remaining_time_in_millis() / 1000 - RESERVE_S
    if request.kind == "Delete":  # the schema stays with its database
        return
    if not request.is_rollback:
        migrate(context.aws_request_id, within_s=left_s, connect_within_s=min(CONNECT_WITHIN_S, left_s))
        return
    try:
        migrate(context.aws_request_id, within_s=min(ROLLBACK_WITHIN_S, left_s), connect_within_s=0.0)
    except Exception as error:  # noqa: BLE001 - the earlier release has to come back in any case
        logger.warning("migration_skipped_in_rollback", extra={"reason": describe_reason(error)})


def migrate(request_id: str, *, within_s: float, connect_within_s: float) -> None:
    """Apply the missing migrations, and write them into the audit. Raise MigrationError."""
    container = get_container()
    applied = container.migrate(find_migrations(os.environ), within_s=within_s, connect_within_s=connect_within_s)
    logger.info("schema_migrated", extra={"applied": applied})
    count_first_runs()
    deadline = Deadline.from_seconds(AUDIT_S, read_monotonic)
    try:
        container.database.run(lambda tx: record_migrations(tx, actor=ACTOR, request_id=request_id), deadline)
    except Exception as error:  # noqa: BLE001 - the schema is migrated; the next run writes the entry
        logger.error("audit_not_written", extra={"entry": "record_migrations", **describe_failure(error)})
