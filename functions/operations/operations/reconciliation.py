"""The command that reconciles a restored database with what outlived it: the state table, the bucket, the user pool.

A database restored to a moment has lost the writes since, but the state table still answers their keys: a client that
repeats such a write would get its old answer, and the write would be missing for ever. The command lists those writes.
With `apply` it deletes the records of their keys, so that each is made again when its client repeats it, and marks
mails that may have been sent already as uncertain, so that none is sent twice by itself. It puts back the uploads of
documents whose completion was lost. A restore may take days, and what expires meanwhile proves nothing: a key is not
judged if its row may have been deleted after its day.

It works in pages, in this order: mails, writes, objects, identities. When time or room is up, it answers `next`, to be
passed to the next run. What a run has done, a later one finds done. Calls that run meanwhile lose nothing, since a row
is looked for after its key's record was read. But a mail may be sent twice, and a number told twice, before the command
prevents it: so it is meant to run before the functions do.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

from pydantic import AwareDatetime, Field

from operations.errors import CommandError
from operations.lost_writes import SKIPPED_NUMBERS, LostWrite, find_last_numbers, format_time, is_refusal
from operations.staff import OPERATOR
from shared.admission.ports import KEY_LIFE_S
from shared.aws.dynamodb_admission_items import TTL_MARGIN_S
from shared.aws.dynamodb_taken_keys import TakenKey
from shared.aws.errors import AwsError
from shared.aws.listings import ListedItem
from shared.clock import Clock
from shared.database.pipeline import Database
from shared.database.transaction import Pending, Row, Transaction
from shared.deadline import Deadline
from shared.errors import Unavailable
from shared.fields import RequestModel
from shared.ids import parse_id
from shared.logging import logger
from shared.outbox.payload import PAYLOAD_SQL
from shared.sql import load_queries

SQL = load_queries("operations", "reconciliation.sql", parts=PAYLOAD_SQL)

# The clocks of functions and database differ by less; they follow the same time service.
CLOCK_SKEW = timedelta(minutes=1)
# A call is answered within this time after its key's row was inserted, so its record's day ends that much later.
EXPIRING = timedelta(minutes=5)
KEY_LIFE = timedelta(seconds=KEY_LIFE_S)
# The row is older than the record by at most this, if the first answer was lost and the client repeated its call.
OLDEST_ROW = KEY_LIFE + CLOCK_SKEW
# And younger by at most this, if no answer is stored: then the record has the time of the call's beginning, and a call
# takes at most half a minute.
YOUNGEST_ROW = timedelta(seconds=30) + CLOCK_SKEW
# A record is in the state table at least until this time after its call was answered; then DynamoDB may delete it.
RECORD_LIFE = KEY_LIFE + timedelta(seconds=TTL_MARGIN_S)
# An answer to the operator stays far below Lambda's 6 MB.
MOST_LISTED = 2000
# No page begins with less time left; a page takes a second or two.
PAGE_TIME_S = 30.0
MAIL_BATCH = 200
NO_RECORD = UUID(int=0)

Part = Literal["mails", "writes", "objects", "identities"]
Position = tuple[Part, str | None]  # a part, and the last item of it that is done


class ReconcileRestore(RequestModel):
    """Compare the database, restored to a moment, with what outlived it; with `apply` also reconcile them.

    `expiry_off_since` is when the operator had switched off the state table's expiry, None if it is on.
    """

    command: Literal["reconcile-restore"]
    restored_to: AwareDatetime = Field(strict=False)
    expiry_off_since: AwareDatetime | None = Field(default=None, strict=False)
    apply: bool = False
    next: str | None = None


class KeyRecords(Protocol):
    """The records of taken keys; see TakenKeys."""

    def read_page(self, after: str | None) -> tuple[list[TakenKey], str | None]:
        """Return the records of a page, and where the next one begins."""
        ...

    def delete(self, key: TakenKey) -> bool:
        """Delete a record, unless it is another's by now."""
        ...


class ObjectCopier(Protocol):
    """A copier of objects within the bucket; see DocumentStore."""

    def copy(self, key: str, to: str) -> bool:
        """Copy an object to another key; return False if there is none."""
        ...


class Listing(Protocol):
    """A listing of what a service holds; see shared/aws/listings.py."""

    def read_page(self, since: datetime, after: str | None) -> tuple[list[ListedItem], str | None]:
        """Return what a page has from a moment on, and where the next one begins."""
        ...


@dataclass(slots=True)
class ReconciliationReport:
    """The findings of one run."""

    lost_writes: list[dict[str, Any]] = field(default_factory=list)
    earlier_writes: list[dict[str, Any]] = field(default_factory=list)
    refusals: int = 0
    running: int = 0
    possibly_sent: list[dict[str, Any]] = field(default_factory=list)
    objects: list[dict[str, Any]] = field(default_factory=list)
    identities: list[dict[str, Any]] = field(default_factory=list)
    rows_known_since: datetime | None = None  # the beginning of the time whose keys' rows were all there

    @property
    def size(self) -> int:
        """Return how many records the report lists."""
        lists = (self.lost_writes, self.earlier_writes, self.possibly_sent, self.objects, self.identities)
        return sum(map(len, lists))


@dataclass(frozen=True, slots=True)
class RestoreReconciliation:
    """One run of the command, and what it works with; `request_id` is the invocation's, for the audit."""

    command: ReconcileRestore
    database: Database
    keys: KeyRecords
    objects: Listing
    identities: Listing
    copier: ObjectCopier
    clock: Clock
    deadline: Deadline
    request_id: str
    report: ReconciliationReport = field(default_factory=ReconciliationReport)

    def run(self) -> dict[str, Any]:
        """Return the findings, and `next` where the next run has to go on; None if this one reached the end.

        `stopped_by` is the error that ended the run early. Raise CommandError for a moment in the future, and for a
        `next` that no run has returned.
        """
        if self.command.restored_to > self.clock():
            raise CommandError("restored_to: lies in the future")
        if self.command.expiry_off_since is not None and self.command.expiry_off_since > self.clock():
            raise CommandError("expiry_off_since: lies in the future")
        position: Position | None = _read_position(self.command.next)
        stopped_by = None
        while position is not None and self._has_room():
            try:
                position = self._run_page(*position)
            except (AwsError, Unavailable) as error:
                stopped_by = str(error)
                break
        return self._describe(position, stopped_by)

    def _has_room(self) -> bool:
        return self.deadline.seconds_left > PAGE_TIME_S and self.report.size < MOST_LISTED

    def _run_page(self, part: Part, after: str | None) -> Position | None:
        """Do one page of a part, and return where the next page begins."""
        following = self._parts[part](after)
        if following is not None:
            return part, following
        rest = PARTS[PARTS.index(part) + 1 :]
        return (rest[0], None) if rest else None

    @property
    def _parts(self) -> dict[Part, Callable[[str | None], str | None]]:
        return {
            "mails": self._reconcile_mails,
            "writes": self._reconcile_writes,
            "objects": self._list_unnamed_objects,
            "identities": self._list_unlinked_identities,
        }

    def _describe(self, position: Position | None, stopped_by: str | None) -> dict[str, Any]:
        report, known_since = self.report, self._find_known_since()
        return {
            "restored_to": format_time(self.command.restored_to),
            "applied": self.command.apply,
            "known_since": format_time(known_since),
            "complete": known_since <= self.command.restored_to and not report.running,
            "running": report.running,
            "lost_writes": sorted(report.lost_writes, key=lambda write: str(write["answered_at"])),
            "earlier_writes": report.earlier_writes,
            "refusals": report.refusals,
            "possibly_sent": report.possibly_sent,
            "objects": report.objects,
            "identities": report.identities,
            "stopped_by": stopped_by,
            "next": None if position is None else f"{position[0]}:{position[1] or ''}",
        }

    def _find_known_since(self) -> datetime:
        """Return the moment since which every answered write is known here: neither record nor row has expired."""
        records_known_since = (self.command.expiry_off_since or self.clock()) - RECORD_LIFE + CLOCK_SKEW
        return max(records_known_since, self.report.rows_known_since or records_known_since)

    # ---- mails ------------------------------------------------------------------------------------------------------
    def _reconcile_mails(self, after: str | None) -> str | None:
        """List the mails that may have been sent since the moment; with `apply` leave each to a person."""
        mails = self.database.run(lambda tx: self._find_unfinished_mails(tx, after), self.deadline).value
        if self.command.apply and mails:
            self.database.run(lambda tx: self._mark_possibly_sent(tx, mails), self.deadline)
        self.report.possibly_sent += [
            {"job_id": str(row["id"]), "template": row["template"], "subject_id": str(row["subject_id"])}
            for row in mails
        ]
        return str(mails[-1]["id"]) if len(mails) == MAIL_BATCH else None

    def _find_unfinished_mails(self, tx: Transaction, after: str | None) -> Pending[list[Row]]:
        return tx.fetch_all(
            SQL["unfinished_mails"],
            restored_to=self.command.restored_to,
            after=after,
            zero=NO_RECORD,
            count=MAIL_BATCH,
        )

    def _mark_possibly_sent(self, tx: Transaction, mails: list[Row]) -> Pending[None]:
        tx.add(
            SQL["mark_possibly_sent"],
            ids=[row["id"] for row in mails],
            restored_to=self.command.restored_to,
            actor=OPERATOR,
            request_id=self.request_id,
        )
        return Pending(lambda: None)

    # ---- writes -----------------------------------------------------------------------------------------------------
    def _reconcile_writes(self, after: str | None) -> str | None:
        """List the writes that are missing; with `apply` let their clients make them again."""
        read, following = self.keys.read_page(after)
        keys = [key for key in read if key.is_over]
        self.report.running += len(read) - len(keys)
        cutoff = self.command.restored_to - CLOCK_SKEW
        refusals = [key for key in keys if is_refusal(key) and key.answered_at >= cutoff]
        lost = self._find_lost_writes([key for key in keys if not is_refusal(key)])
        explained = [write for write in lost if write.key.answered_at >= cutoff]
        self.report.lost_writes += [write.fields for write in explained]
        # A call that died before the moment, with nothing done and nothing answered, is no write.
        earlier = [write for write in lost if write.key.answered_at < cutoff and write.key.is_known_answered]
        self.report.earlier_writes += [write.fields for write in earlier]
        self.report.refusals += len(refusals)
        if self.command.apply:
            self._release_keys(explained, refusals)
            if after is None or explained:
                self.database.run(_skip_unknown_numbers, self.deadline)
        return following

    def _find_lost_writes(self, keys: list[TakenKey]) -> list[LostWrite]:
        """Return the writes without a row; the rows are read after the keys' records.

        A key whose row may have been deleted by housekeeping is not judged: its write may be there, and would be made
        twice if the key were released.
        """
        answered = [key.answered_at for key in keys]

        def find(tx: Transaction) -> Pending[tuple[list[Row], list[Row]]]:
            lost = tx.fetch_all(
                SQL["lost_keys"],
                records=[key.record for key in keys],
                answered=answered,
                since=min(answered, default=self.clock()) - OLDEST_ROW,
                oldest_row=OLDEST_ROW,
                youngest_row=YOUNGEST_ROW,
            )
            # Read afterwards: if housekeeping deletes rows between the two statements, fewer keys are judged.
            kept = tx.fetch_all(SQL["kept_since"], life=KEY_LIFE)
            return Pending(lambda: (lost.resolve(), kept.resolve()))

        lost, [kept] = self.database.run(find, self.deadline).value
        known_since = self._note_known_rows(kept["since"] + EXPIRING)
        records = {row["record"] for row in lost}
        return [LostWrite.from_key(key) for key in keys if key.record in records and key.answered_at >= known_since]

    def _note_known_rows(self, known_since: datetime) -> datetime:
        """Return the moment since which the rows of all taken keys are there; keep the latest for the report."""
        self.report.rows_known_since = max(known_since, self.report.rows_known_since or known_since)
        return known_since

    def _release_keys(self, writes: list[LostWrite], refusals: list[TakenKey]) -> None:
        """Delete the keys' records, after the writes are in the audit and the log: a run may die at any point."""
        if writes:
            self.database.run(lambda tx: self._record_lost_writes(tx, writes), self.deadline)
        for write in writes:
            logger.warning("write_lost", extra=write.fields)
        for key in [*(write.key for write in writes), *refusals]:
            self.keys.delete(key)

    def _record_lost_writes(self, tx: Transaction, writes: list[LostWrite]) -> Pending[None]:
        tx.add(
            SQL["record_lost_writes"],
            subjects=[write.subject_id or NO_RECORD for write in writes],
            facts=[json.dumps({n: v for n, v in write.fields.items() if n != "subject_id"}) for write in writes],
            actor=OPERATOR,
            request_id=self.request_id,
        )
        for sequence, last in find_last_numbers(writes).items():
            tx.add(SQL["skip_numbers"], sequence=sequence, past=last + SKIPPED_NUMBERS)
        return Pending(lambda: None)

    # ---- objects and identities -------------------------------------------------------------------------------------
    def _list_unnamed_objects(self, after: str | None) -> str | None:
        """List the objects stored since the moment that no document names.

        With `apply` put back the upload of a document that waits for its completion again, so that it can be completed.
        """
        listed, following = self.objects.read_page(self.command.restored_to - CLOCK_SKEW, after)
        rows = self._compare("unnamed_objects", listed)
        uploads = [row["upload_key"] for row in rows if row["upload_key"] is not None]
        if self.command.apply and uploads:
            # Before an upload is put back, so that housekeeping, if it runs again, does not delete it.
            self.database.run(lambda tx: self._renew_announcements(tx, uploads), self.deadline)
        for row in rows:
            key = row["upload_key"]
            is_put_back = self.command.apply and key is not None and self.copier.copy(row["name"], key)
            found = {"key": row["name"], "stored_at": row["began_at"], "upload_put_back": is_put_back}
            self.report.objects.append(found)
        return following

    def _renew_announcements(self, tx: Transaction, uploads: list[str]) -> Pending[None]:
        tx.add(SQL["renew_announcements"], upload_keys=uploads, actor=OPERATOR, request_id=self.request_id)
        return Pending(lambda: None)

    def _list_unlinked_identities(self, after: str | None) -> str | None:
        """List the identities created since the moment that no account is linked to."""
        listed, following = self.identities.read_page(self.command.restored_to - CLOCK_SKEW, after)
        rows = self._compare("unlinked_identities", listed)
        self.report.identities += [{"sub": row["name"], "created_at": row["began_at"]} for row in rows]
        return following

    def _compare(self, query: str, listed: list[ListedItem]) -> list[Row]:
        """Return the rows of a query for what was listed, each with the time of its beginning."""
        began = {each.name: format_time(each.began_at) for each in listed}
        if not began:
            return []
        rows = self.database.run(lambda tx: tx.fetch_all(SQL[query], names=list(began)), self.deadline).value
        return [{**row, "began_at": began[row["name"]]} for row in rows]


PARTS: tuple[Part, ...] = ("mails", "writes", "objects", "identities")


def _skip_unknown_numbers(tx: Transaction) -> Pending[None]:
    """Skip numbers past the restored ones: some that were told since may be in no record.

    One more is skipped for each lost write, since the records of the last ones lack the numbers.
    """
    tx.add(SQL["skip_unknown_numbers"], count=SKIPPED_NUMBERS)
    return Pending(lambda: None)


def _read_position(text: str | None) -> Position:
    """Return the part and the place in it where a run begins. Raise CommandError."""
    if text is None:
        return PARTS[0], None
    name, _, after = text.partition(":")
    part = next((each for each in PARTS if each == name), None)
    if part is None or (part == "mails" and after and not _is_id(after)):
        raise CommandError("next: was not answered by an earlier run")
    return part, after or None


def _is_id(text: str) -> bool:
    try:
        parse_id(text)
    except ValueError:
        return False
    return True
