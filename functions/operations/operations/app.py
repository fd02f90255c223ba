"""The handler of operators' commands, called by `aws lambda invoke`: no route leads here.

    {"command": "migrate"}
    {"command": "create-staff", "email": …, "full_name": …, "role": "staff"|"admin", "language": "sq"|"en"|"mk"|"sr"}
    {"command": "remove-staff", "email": …}
    {"command": "free-address", "email": …}
    {"command": "circuits"}
    {"command": "force-circuit", "name": "email"|"identity"|"storage", "state": "open"|"closed"|"auto"}
    {"command": "reconcile-restore", "restored_to": "2026-11-26T21:30:00Z", "apply": true|false, "next": …}

Each is safe to repeat.
"""

import os
from typing import Any, Literal

from pydantic import ValidationError

from operations.circuit_commands import CircuitCommands, ForceCircuit, ShowCircuits
from operations.errors import CommandError
from operations.free_address import FreeAddress, free_address
from operations.reconciliation import ReconcileRestore, RestoreReconciliation
from operations.staff import OPERATOR, CreateStaff, OperatorContext, RemoveStaff, create_staff, remove_staff
from shared.api.field_errors import list_parameter_errors
from shared.aws.clients import get_cognito, get_dynamodb, get_s3
from shared.aws.cognito import CognitoIdentityProvider
from shared.aws.dynamodb_taken_keys import TakenKeys
from shared.aws.listings import EvidenceListing, IdentityListing
from shared.background import BackgroundInvocation, background_handler
from shared.clock import read_monotonic
from shared.container import get_container
from shared.database.migration_errors import MigrationError
from shared.database.schema_version import find_migrations
from shared.deadline import Deadline
from shared.fields import RequestModel
from shared.logging import describe_failure, logger
from shared.outbox.audit import record_migrations

AUDIT_S = 5.0  # a database that takes longer to write the entry counts as down


class Migrate(RequestModel):
    """Migrate the database's schema."""

    command: Literal["migrate"]


PeopleCommand = CreateStaff | RemoveStaff | FreeAddress
Command = Migrate | PeopleCommand | ShowCircuits | ForceCircuit | ReconcileRestore


COMMANDS: dict[str, type[Command]] = {
    "migrate": Migrate,
    "create-staff": CreateStaff,
    "remove-staff": RemoveStaff,
    "free-address": FreeAddress,
    "circuits": ShowCircuits,
    "force-circuit": ForceCircuit,
    "reconcile-restore": ReconcileRestore,
}


def read_command(event: dict[str, Any]) -> Command:
    """Return the command of an event. Raise CommandError naming what is invalid."""
    model = COMMANDS.get(str(event.get("command")))
    if model is None:
        raise CommandError(f"unknown command; there are: {', '.join(COMMANDS)}")
    try:
        command: Command = model.model_validate(event)
    except ValidationError as error:
        errors = list_parameter_errors(error, model)
        raise CommandError("; ".join(f"{each.pointer} {each.detail}" for each in errors)) from None
    return command


def _record_migrations(request_id: str) -> None:
    """Write the audit entry of the migrations, unless an earlier run of the command has written it."""
    deadline = Deadline.from_seconds(AUDIT_S, read_monotonic)
    try:
        get_container().database.run(lambda tx: record_migrations(tx, actor=OPERATOR, request_id=request_id), deadline)
    except Exception as error:  # noqa: BLE001 - the command was carried out
        logger.error(
            "audit_not_written", extra={"entry": "record_migrations", "request": request_id, **describe_failure(error)}
        )


def _migrate(invocation: BackgroundInvocation) -> dict[str, Any]:
    request_id, within_s = invocation.request_id, invocation.deadline.seconds_left - AUDIT_S
    try:
        applied = get_container().migrate(find_migrations(os.environ), within_s=within_s)
    except MigrationError as error:
        raise CommandError(str(error)) from None
    _record_migrations(request_id)
    return {"applied": applied}


def _run_circuit_command(command: ShowCircuits | ForceCircuit, request_id: str) -> dict[str, Any]:
    container = get_container()
    return CircuitCommands(
        container.circuit_store,
        container.settings.find_circuit_policy,
        container.database,
        lambda: container.queues,
        request_id,
        AUDIT_S,
    ).run(command)


def _run_people_command(command: PeopleCommand, context: OperatorContext) -> dict[str, Any]:
    match command:
        case CreateStaff():
            return create_staff(command, context)
        case RemoveStaff():
            return remove_staff(command, context)
        case FreeAddress():
            return free_address(command, context)


def _reconcile_restore(command: ReconcileRestore, invocation: BackgroundInvocation) -> dict[str, Any]:
    container = get_container()
    settings = container.settings
    return RestoreReconciliation(
        command,
        container.database,
        TakenKeys(get_dynamodb(), settings.state_table),
        EvidenceListing(get_s3(), settings.evidence_bucket),
        IdentityListing(get_cognito(), settings.user_pool_id),
        container.document_store,
        container.clock,
        invocation.deadline,
        invocation.request_id,
    ).run()


def _run_command(command: Command, invocation: BackgroundInvocation) -> dict[str, Any]:
    if isinstance(command, ShowCircuits | ForceCircuit):
        return _run_circuit_command(command, invocation.request_id)
    if isinstance(command, Migrate):
        return _migrate(invocation)
    if isinstance(command, ReconcileRestore):
        return _reconcile_restore(command, invocation)
    container = get_container()
    identities = CognitoIdentityProvider(get_cognito(), container.settings.user_pool_id)
    return _run_people_command(
        command, OperatorContext(container.database, identities, invocation.deadline, invocation.request_id)
    )


@background_handler
def handler(event: dict[str, Any], invocation: BackgroundInvocation) -> dict[str, Any]:
    """Serve as Lambda's entry point."""
    command = read_command(event)
    answer = _run_command(command, invocation)
    logger.info("command_done", extra={"command": command.command})
    return answer
