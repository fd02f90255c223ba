"""Records as registers with known versions: whether their operations can be put in one order in time.

Linearizability is hard to decide in general. Here each write makes a version that no other write makes, and versions
are numbered in the order of their writes, so the order is known: the write of version 1, its reads, the write of
version 2, and so on. Operations can be placed in this order, each at a moment within its call, exactly if none has
ended before one that must come earlier began (P. Gibbons and E. Korach, "Testing Shared Memories", 1997, for the case
of a known write order). It takes n log n steps: the earliest end of all that must come later is a running minimum.

The order of writes is not taken from the answers: it is the order of the commits in PostgreSQL's log.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from judge.history.model import AuditFact, HistoryCall, HistoryFindings, RecordedHistory

CREATED, READ = 0, 1


@dataclass(frozen=True, slots=True)
class RegisterOperation:
    """The write or a read of a version. An operation without an answer may take effect at any time after its begin."""

    version: int
    kind: int
    begin: float
    end: float
    account: str | None
    call: int

    @property
    def place(self) -> tuple[int, int]:
        """Return its place in the only order that is possible; reads of the same version are equal."""
        return self.version, self.kind


def check_registers(history: RecordedHistory, found: HistoryFindings) -> None:
    """Check the versions of each record."""
    versions = _number_versions(history)
    operations = _collect_operations(history, versions, found)
    for record, of_record in operations.items():
        found.count("records")
        found.count("operations on records", len(of_record))
        _check_order(record, of_record, found)
        _count_session_reads(of_record, found)
    _check_final_rows(history, versions, found)
    _check_preconditions(history, operations, versions, found)


def _number_versions(history: RecordedHistory) -> dict[str, dict[int, int]]:
    """Return of each record the version that each transaction made: its place in the order of the log."""
    actions = {effect.action for effect in history.effects if effect.versioned}
    writes: dict[str, list[AuditFact]] = defaultdict(list)
    for audit in history.audits:
        if audit.action in actions and audit.xid in history.commit_of:
            writes[audit.subject].append(audit)
    numbered: dict[str, dict[int, int]] = {}
    for record, of_record in writes.items():
        xids = sorted({audit.xid for audit in of_record}, key=lambda xid: history.commit_of[xid].lsn)
        numbered[record] = {xid: version for version, xid in enumerate(xids, start=1)}
    return numbered


def _collect_operations(
    history: RecordedHistory, versions: dict[str, dict[int, int]], found: HistoryFindings
) -> dict[str, list[RegisterOperation]]:
    operations: dict[str, list[RegisterOperation]] = defaultdict(list)
    for call in history.calls:
        effect = history.effect_of.get(call.operation)
        if effect is not None and effect.versioned:
            _add_write(history, call, versions, operations, found)
        elif call.is_accepted and not call.replayed and call.is_read:
            seen = [(call.record, call.version), *(call.items or ())]
            for record, version in seen:
                if record is not None and version is not None:
                    _add_read(call, record, version, versions, operations, found)
    return operations


def _add_write(
    history: RecordedHistory,
    call: HistoryCall,
    versions: dict[str, dict[int, int]],
    operations: dict[str, list[RegisterOperation]],
    found: HistoryFindings,
) -> None:
    if call.is_accepted and call.replayed:
        return
    if call.is_accepted and call.record is not None and call.version is not None:
        audit = history.find_audit(call)
        version = versions.get(call.record, {}).get(audit.xid) if audit else None
        if version is None:
            effect = history.effect_of[call.operation]
            if not effect.always:  # it changed nothing, and answered what was there
                _add_read(call, call.record, call.version, versions, operations, found)
            return
        if version != call.version:
            kind = "lost-update" if version > call.version else "version-from-nowhere"
            found.add(kind, call.record, f"call {call.id} says version {call.version}, the log has it as {version}")
        operations[call.record].append(RegisterOperation(version, CREATED, call.begin, call.end, call.account, call.id))
    elif call.is_undecided and call.key is not None:
        _add_undecided_write(history, call, versions, operations)


def _add_undecided_write(
    history: RecordedHistory,
    call: HistoryCall,
    versions: dict[str, dict[int, int]],
    operations: dict[str, list[RegisterOperation]],
) -> None:
    """Add the write of a key whose first call has no answer, once: it began with the key's first call."""
    attempts = history.calls_of_key[call.key or ""]
    if any(each.is_accepted and not each.replayed for each in attempts) or attempts[0].id != call.id:
        return
    end = min((each.end for each in attempts if each.is_accepted), default=inf)
    action = history.effect_of[call.operation].action
    for xid in history.xids_of_key.get(call.key or "", ()):
        for audit in history.audits_of_xid.get(xid, ()):
            if audit.action == action and (version := versions.get(audit.subject, {}).get(xid)) is not None:
                operations[audit.subject].append(
                    RegisterOperation(version, CREATED, call.begin, end, call.account, call.id)
                )


def _add_read(
    call: HistoryCall,
    record: str,
    version: int,
    versions: dict[str, dict[int, int]],
    operations: dict[str, list[RegisterOperation]],
    found: HistoryFindings,
) -> None:
    made = versions.get(record)
    if made is None or not 1 <= version <= len(made):
        known = f"{len(made)} versions were" if made else "none was"
        found.add("version-from-nowhere", record, f"call {call.id} read version {version}, but {known} committed")
        return
    operations[record].append(RegisterOperation(version, READ, call.begin, call.end, call.account, call.id))


def _check_order(record: str, operations: list[RegisterOperation], found: HistoryFindings) -> None:
    """Report each operation that began after one had ended that must come later."""
    operations.sort(key=lambda each: each.place)
    later: RegisterOperation | None = None  # of all with a later place, the one that ended first
    at = len(operations)
    while at > 0:
        first = at
        while first > 0 and operations[first - 1].place == operations[at - 1].place:
            first -= 1
        group = operations[first:at]
        for each in group:
            if later is not None and later.end < each.begin:
                found.add(_name_violation(each, later, operations), record, _describe_violation(each, later))
        later = min([*group, *([later] if later else [])], key=lambda each: each.end)
        if group[0].kind == CREATED and len(group) > 1:
            calls = ", ".join(str(each.call) for each in group)
            found.add("lost-update", record, f"calls {calls} have all made version {group[0].version}")
        at = first


def _name_violation(each: RegisterOperation, later: RegisterOperation, operations: Sequence[RegisterOperation]) -> str:
    if each.kind == CREATED:
        return "read-before-write" if later.kind == READ else "writes-out-of-order"
    seen = [o for o in operations if o.place > each.place and o.end < each.begin and o.account == each.account]
    if any(o.kind == CREATED for o in seen):
        return "stale-read-of-own-write"
    return "read-goes-back" if seen else "stale-read"


def _describe_violation(each: RegisterOperation, later: RegisterOperation) -> str:
    what = "wrote" if each.kind == CREATED else "read"
    done = "written" if later.kind == CREATED else "read"
    return (
        f"call {each.call} {what} version {each.version} from {each.begin:.4f} s on, but version {later.version} was"
        f" {done} by call {later.call} that ended at {later.end:.4f} s"
    )


def _count_session_reads(operations: Sequence[RegisterOperation], found: HistoryFindings) -> None:
    """Count each account's reads after an own write or read of the same record: those that a session promises."""
    first_end: dict[str | None, float] = {}
    for each in sorted(operations, key=lambda operation: operation.end):
        first_end.setdefault(each.account, each.end)
    after = sum(o.kind == READ and o.account is not None and first_end[o.account] < o.begin for o in operations)
    found.count("reads after an own call", after)


def _check_final_rows(history: RecordedHistory, versions: dict[str, dict[int, int]], found: HistoryFindings) -> None:
    """Check that each record has as many versions as commits: none is lost, none came without a call."""
    final = {row.record: row.version for row in history.rows}
    for record, made in versions.items():
        found.count("final versions")
        if final.get(record) != len(made):
            kind = "version-from-nowhere" if (final.get(record) or 0) > len(made) else "lost-update"
            found.add(kind, record, f"the row has version {final.get(record)}, the log has {len(made)}")


def _check_preconditions(
    history: RecordedHistory,
    operations: dict[str, list[RegisterOperation]],
    versions: dict[str, dict[int, int]],
    found: HistoryFindings,
) -> None:
    """Check that a change was made to the version that it names, and refused only if that was not the present one."""
    for call in history.calls:
        if call.if_match is None or call.target is None:
            continue
        if call.is_accepted and not call.replayed:
            found.count("preconditions")
            audit = history.find_audit(call)
            made = versions.get(audit.subject, {}).get(audit.xid) if audit else None
            if made is not None and made != call.if_match + 1:
                detail = f"call {call.id} changed version {call.if_match}, but the log has it as version {made}"
                found.add("change-of-old-version", call.target, detail)
        elif call.problem == "stale-version":
            found.count("preconditions")
            if _was_present_throughout(call, operations.get(call.target, ())):
                detail = f"call {call.id} was refused as stale while version {call.if_match} was the present one"
                found.add("wrong-refusal", call.target, detail)


def _was_present_throughout(call: HistoryCall, operations: Sequence[RegisterOperation]) -> bool:
    """Return whether a version must have been the present one from the begin of a refused call to its end."""
    wanted = call.if_match or 0
    at = bisect_right(operations, (wanted, CREATED), key=lambda each: each.place)
    if at == 0 or operations[at - 1].place != (wanted, CREATED) or operations[at - 1].end > call.begin:
        return False
    following = bisect_right(operations, (wanted, READ), key=lambda each: each.place)
    return following == len(operations) or operations[following].begin > call.end
