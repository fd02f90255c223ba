"""Operators' commands, by `aws lambda invoke`: no route leads here.

    {"command": "migrate"}
    {"command": "create-staff", "email": …, "full_name": …, "role": "staff"|"admin", "language": "sq"|"en"|"mk"|"sr"}
    {"command": "circuits"}
    {"command": "force-circuit", "name": "email"|"identity"|"storage", "state": "open"|"closed"|"auto"}

Each is safe to repeat.
"""

import os
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

from pydantic import TypeAdapter, ValidationError

from jobs import circuits
from jobs.guard import JobsError, guarded
from shared.aws.clients import cognito
from shared.aws.identity import CognitoIdentities, Identities
from shared.clock import epoch_micros, monotonic
from shared.ids import uuid7
from shared.logs import logger
from shared.postgres import Database, Pending, Row, Transaction
from shared.resilience.circuit_store import StoreUnavailable
from shared.resilience.deadline import Deadline
from shared.settings import DEFAULT_CIRCUITS
from shared.sql import load_queries
from shared.text import Email, Input, Language, PersonName
from shared.wiring import wiring

SQL = load_queries("jobs")

MIGRATIONS_DIR = "/opt/migrations"  # where the layer puts them


class Migrate(Input):
    """Bring the database's schema up to date."""

    command: Literal["migrate"]


class CreateStaff(Input):
    """Let a person work here."""

    command: Literal["create-staff"]
    email: Email
    full_name: PersonName
    role: Literal["staff", "admin"]
    language: Language


class ShowCircuits(Input):
    """Tell how the circuits of the services are."""

    command: Literal["circuits"]


class ForceCircuit(Input):
    """Hold a circuit open or closed, or leave it to itself again."""

    command: Literal["force-circuit"]
    name: Literal["email", "identity", "storage"]
    state: Literal["open", "closed", "auto"]


Command = Migrate | CreateStaff | ShowCircuits | ForceCircuit


class CommandError(JobsError):
    """The command was not carried out, and its words say why; they quote nothing that was sent."""


_COMMANDS: dict[str, TypeAdapter[Any]] = {
    "migrate": TypeAdapter(Migrate),
    "create-staff": TypeAdapter(CreateStaff),
    "circuits": TypeAdapter(ShowCircuits),
    "force-circuit": TypeAdapter(ForceCircuit),
}


def read_command(event: dict[str, Any]) -> Command:
    """The command of an event. Raises CommandError naming what is wrong with it."""
    adapter = _COMMANDS.get(str(event.get("command")))
    if adapter is None:
        raise CommandError(f"unknown command; there are: {', '.join(_COMMANDS)}")
    try:
        command: Command = adapter.validate_python(event)
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)
        raise CommandError("; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in wrong)) from None
    return command


def create_staff(new: CreateStaff, *, database: Database, identities: Identities, deadline: Deadline) -> dict[str, Any]:
    """Make sure that the person has an account and can sign in. Raises CommandError for a taken address."""
    account = database.run(lambda tx: _account(tx, new), deadline).value
    if account is None or account["role"] != new.role:
        raise CommandError("the address belongs to an account of another role")
    sub = identities.ensure_person(email=new.email, group=new.role)
    database.run(lambda tx: _link(tx, account["id"], sub), deadline)
    return {"account_id": str(account["id"]), "sub": sub}


def _account(tx: Transaction, new: CreateStaff) -> Pending[Row | None]:
    facts = new.model_dump(exclude={"command"})
    tx.add(SQL["insert_staff"], id=uuid7(), **facts)
    return tx.one(SQL["account_by_email"], email=new.email)


def _link(tx: Transaction, account_id: UUID, sub: str) -> Pending[None]:
    tx.add(SQL["link_identity"], account_id=account_id, sub=sub)
    return Pending(lambda: None)


def _move_circuits(command: ShowCircuits | ForceCircuit) -> dict[str, Any]:
    parts = wiring()
    store, policy = parts.circuit_store, parts.settings.circuit
    try:
        if isinstance(command, ForceCircuit):
            return {"circuits": circuits.command(store, policy(command.name), command.state, epoch_micros())}
        return {"circuits": circuits.show(store, map(policy, DEFAULT_CIRCUITS), epoch_micros())}
    except StoreUnavailable as error:
        raise CommandError(f"the state table did not answer, repeat the command: {error.code}") from None


def _run(command: Command, deadline: Deadline) -> dict[str, Any]:
    parts = wiring()
    if isinstance(command, ShowCircuits | ForceCircuit):
        return _move_circuits(command)
    if isinstance(command, Migrate):
        return {"applied": parts.migrate(Path(os.environ.get("MIGRATIONS_DIR") or MIGRATIONS_DIR))}
    identities = CognitoIdentities(cognito(), parts.settings.user_pool_id)
    return create_staff(command, database=parts.database, identities=identities, deadline=deadline)


@guarded
def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point."""
    command = read_command(event)
    deadline = Deadline.after(context.get_remaining_time_in_millis() / 1000, monotonic)
    answer = _run(command, deadline)
    logger.info("command", extra={"command": command.command})
    return answer
