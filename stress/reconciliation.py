"""The reconciliation: compares what clients were answered with database, outbox, queues and inbox, one by one.

An accepted call has exactly its rows, jobs and mails; a refused one has none; one without an answer may have been done
or not, but never half. Comparisons are counted, so that a reconciliation that compared nothing can't look clean.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from stress.ledger import CallSample, list_first_accepted, list_undecided
from stress.model import Difference, Reconciliation

LISTED = 50
NO_CONTENT = 204  # the answer to a removal
CENT = Decimal("0.01")
RATES = {"new": Decimal("0.20"), "renewal": Decimal("0.10")}

# The effects of an accepted call besides its rows: the audit's action, and the jobs by template.
EFFECTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "apply": ("agent.applied", ("agent-received",)),
    "register": ("member.registered", ("identity", "member-welcome")),
    "approve": ("agent.approved", ("identity", "agent-approved")),
    "terms": ("agent.terms_changed", ()),
    "renew": ("membership.renewed", ("membership-renewed",)),
    "cancel": ("membership.cancellation_requested", ("membership-cancelled",)),
    "edit": ("member.contact_changed", ()),
    "claim": ("claim.submitted", ("claim-received", "staff-new-claim")),
    "move": ("claim.transitioned", ("claim-moved",)),
    "staff read": ("claim.read", ()),
    "withdraw": ("claim.transitioned", ("claim-moved",)),
}
# Audit actions as releases up to 0.2.0 write them, with today's names: during a deployment both releases answer.
OLD_ACTIONS = {"membership.cancelled": "membership.cancellation_requested", "claim.moved": "claim.transitioned"}
LINKED = "account.identity_linked"  # the worker's audit entry for an identity that it has created
MAILS_TO_STAFF = frozenset({"staff-new-claim"})


@dataclass
class ReconciliationLog:
    """The comparisons made so far, and their differences."""

    compared: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def compare(self, kind: str, subject: str, expected: object, found: object) -> bool:
        """Compare what was expected with what was found; return whether they are equal."""
        self.compared[kind] += 1
        if expected != found:
            self.differences.append(Difference(kind, subject, _format_value(expected), _format_value(found)))
        return expected == found

    def summarise(self) -> Reconciliation:
        """Return all of it, for the report."""
        rest = max(0, len(self.differences) - LISTED)
        return Reconciliation(dict(sorted(self.compared.items())), self.differences[:LISTED], rest)


def _format_value(value: object) -> str:
    return (
        ", ".join(f"{name} ×{count}" for name, count in sorted(value.items()))
        if isinstance(value, dict)
        else str(value)
    )


@dataclass(frozen=True)
class ExpectedEffects:
    """The calls about one subject (a person, a claim) by operation: how many were accepted.

    `unknown` counts those without an answer, which may have been done or not.
    """

    accepted: Counter[str]
    unknown: Counter[str]

    def decide_unknown(self, audit: Mapping[str, int]) -> "ExpectedEffects":
        """Return the effects with unknown calls decided by their audit entries: then all else must be there too."""
        accepted, beyond = Counter(self.accepted), Counter(audit)
        beyond.subtract(self.list_audit_entries())
        for name, count in self.unknown.items():
            done = min(count, max(0, beyond[EFFECTS[name][0]]))
            beyond[EFFECTS[name][0]] -= done
            accepted[name] += done
        return ExpectedEffects(+accepted, Counter())

    def list_audit_entries(self) -> Counter[str]:
        """Return the expected audit entries by action: of the calls, and of each identity that was created."""
        calls = _sum_counts({EFFECTS[name][0]: count} for name, count in self.accepted.items() if name in EFFECTS)
        return calls + Counter({LINKED: self.list_jobs()["identity"]})

    def list_jobs(self) -> Counter[str]:
        """Return the expected jobs, by template."""
        return _list_jobs_of_calls(self.accepted)

    def count_mails(self) -> int:
        """Return how many mails the person must have got."""
        return _count_mails_of_calls(self.accepted)

    def count_optional_mails(self) -> int:
        """Return how many mails the person may have got besides."""
        return _count_mails_of_calls(self.unknown)


def _list_jobs_of_calls(calls: Mapping[str, int]) -> Counter[str]:
    return _sum_counts(dict.fromkeys(EFFECTS[name][1], count) for name, count in calls.items() if name in EFFECTS)


def _count_mails_of_calls(calls: Mapping[str, int]) -> int:
    return sum(
        count for job, count in _list_jobs_of_calls(calls).items() if job != "identity" and job not in MAILS_TO_STAFF
    )


def _sum_counts(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


def _rename_old_actions(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Return the rows with their audit entries counted under today's names of the actions."""
    return [{**row, "audit": _count_actions(row["audit"])} for row in rows]


def _count_actions(audit: Mapping[str, int]) -> dict[str, int]:
    return dict(_sum_counts({OLD_ACTIONS.get(action, action): count} for action, count in audit.items()))


def collect_expected(samples: Sequence[CallSample], subject: str, made_by: CallSample | None = None) -> ExpectedEffects:
    """Return the effects of the calls about one subject: `facts["subject"]`, or what an answer created.

    `made_by` is the call without an answer that has created it, if that is so.
    """
    mine = [sample for sample in samples if find_subject(sample) == subject]
    accepted = Counter(sample.call.operation for sample in list_first_accepted(mine))
    accepted.update([made_by.call.operation] if made_by else [])
    return ExpectedEffects(
        accepted, Counter(s.call.operation for s in list_undecided(mine) if s.call.operation in EFFECTS)
    )


def find_subject(sample: CallSample) -> str | None:
    """Return the id of what a call is about; None if it created nothing."""
    named = sample.call.facts.get("subject")
    if named is not None or not sample.is_accepted:
        return named
    return str((sample.record or {}).get("id")) if sample.call.operation in ("apply", "register", "claim") else None


class SampleIndex:
    """The samples of a run by subject, so that thousands of lookups stay fast."""

    def __init__(self, samples: Sequence[CallSample]) -> None:
        self._about = _group_samples(samples, find_subject)
        self._filed = _group_samples((s for s in samples if s.call.operation == "claim"), _make_fact_reader("member"))
        self._document_calls = _group_samples(samples, _make_fact_reader("claim"))

    def collect_expected(self, subject: str, made_by: CallSample | None = None) -> ExpectedEffects:
        """Return the effects of the calls about a subject, see `collect_expected`."""
        return collect_expected(self._about.get(subject, ()), subject, made_by)

    def list_filed(self, member: str) -> Sequence[CallSample]:
        """Return the calls by which a member tried to file claims."""
        return self._filed.get(member, ())

    def list_document_calls(self, claim: str) -> Sequence[CallSample]:
        """Return the calls about a claim's documents."""
        return self._document_calls.get(claim, ())


def _group_samples(
    samples: Iterable[CallSample], by: Callable[[CallSample], str | None]
) -> dict[str | None, list[CallSample]]:
    groups: dict[str | None, list[CallSample]] = defaultdict(list)
    for sample in samples:
        groups[by(sample)].append(sample)
    return groups


def _make_fact_reader(name: str) -> Callable[[CallSample], str | None]:
    return lambda sample: sample.call.facts.get(name)


class PersonReconciler:
    """The comparison of people: `samples` of the whole run, `rows` of the query `people`, `inbox` by recipient."""

    def __init__(self, log: ReconciliationLog, samples: Sequence[CallSample], inbox: Counter[str]) -> None:
        self._log = log
        self._index = SampleIndex(samples)
        self._inbox = inbox

    def compare(self, attempts: Mapping[str, Sequence[CallSample]], rows: Sequence[Mapping[str, Any]]) -> None:
        """Compare the rows of each address; `attempts` are its registrations and applications."""
        found: dict[str, list[Mapping[str, Any]]] = {email: [] for email in attempts}
        for row in _rename_old_actions(rows):
            found[row["email"]].append(row)
        for email, calls in attempts.items():
            self._compare_address(calls, found[email])

    def _compare_address(self, calls: Sequence[CallSample], rows: Sequence[Mapping[str, Any]]) -> None:
        key = calls[0].call.key or ""
        accepted = {str(s.record.get("id")): s for s in reversed(calls) if s.is_accepted and s.record}
        undecided = [] if accepted else list_undecided(calls)
        if undecided:
            more = max(0, len(rows) - 1)
            self._log.compare("calls without an answer, done more than once", key, 0, more)
        else:
            self._log.compare("accounts of an address", key, sorted(accepted), sorted(row["id"] for row in rows))
        for row in rows:
            if row["id"] in accepted:
                self._compare_person(row, accepted[row["id"]], self._index.collect_expected(row["id"]))
            elif undecided:
                made_by = next((s for s in undecided if _can_have_made(s, row)), undecided[0])
                self._compare_person(row, made_by, self._index.collect_expected(row["id"], made_by))

    def _compare_person(self, row: Mapping[str, Any], first: CallSample, expected: ExpectedEffects) -> None:
        subject, log, done = row["id"], self._log, expected.decide_unknown(row["audit"])
        is_member = first.call.operation == "register"
        rows = (row["members"], row["subscriptions"], row["agents"])
        log.compare("rows of a person", subject, (1, 1, 0) if is_member else (0, 0, 1), rows)
        if is_member:
            agent = first.call.facts.get("agent")
            log.compare("agent of a member", subject, agent, row["agent"])
            earned = list_expected_commissions(done, row["price"] if agent else None)
            log.compare("commissions of a member", subject, earned, row["commissions"])
            voided = int(bool(earned) and done.accepted["cancel"] > 0)
            log.compare("commissions taken back, and entries of it", subject, [voided, voided], row["voided"])
        log.compare("audit entries of a person", subject, dict(done.list_audit_entries()), row["audit"])
        log.compare("jobs of a person", subject, _list_done_jobs(done), row["jobs"])
        least, more = _count_claim_mails(self._index, subject)
        got, least = self._inbox[row["email"]], least + done.count_mails()
        log.compare("mails to a person", subject, min(max(got, least), least + more), got)


def _can_have_made(sample: CallSample, row: Mapping[str, Any]) -> bool:
    role = "member" if sample.call.operation == "register" else "agent"
    return (role, sample.call.facts.get("agent")) == (row["role"], row["agent"])


def _list_done_jobs(expected: ExpectedEffects) -> dict[str, int]:
    return {f"{job} done": count for job, count in expected.list_jobs().items()}


def list_expected_commissions(expected: ExpectedEffects, price: str | None) -> list[str]:
    """Return what the agent must have earned by a member, as `kind amount`."""
    if price is None:
        return []
    kinds = ["new"] * expected.accepted["register"] + ["renewal"] * expected.accepted["renew"]
    return [f"{kind} {(Decimal(price) * RATES[kind]).quantize(CENT, ROUND_HALF_EVEN)}" for kind in kinds]


def _count_claim_mails(index: SampleIndex, member: str) -> tuple[int, int]:
    """Return how many mails a member must have got for their claims, and how many more there may be."""
    filed = index.list_filed(member)
    ids = {str(s.record["id"]) for s in filed if s.is_accepted and s.record}
    expected = [index.collect_expected(claim) for claim in ids]
    undecided = _count_mails_of_calls(Counter(s.call.operation for s in list_undecided(filed)))
    return sum(each.count_mails() for each in expected), undecided + sum(
        each.count_optional_mails() for each in expected
    )


class ClaimReconciler:
    """The comparison of claims: `rows` of the query `claims`, `notices` counts the claims desk's mails by number."""

    def __init__(self, log: ReconciliationLog, samples: Sequence[CallSample], notices: Counter[str]) -> None:
        self._log = log
        self._index = SampleIndex(samples)
        self._notices = notices

    def compare(self, members: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Compare the claims of these members: exactly the accepted ones are there."""
        rows = _rename_old_actions(rows)
        filed = [sample for member in dict.fromkeys(members) for sample in self._index.list_filed(member)]
        accepted = {str(s.record["id"]) for s in filed if s.is_accepted and s.record}
        undecided = {str((s.call.body or {}).get("title")): s for s in list_undecided(filed)}
        lost = accepted - {row["id"] for row in rows}
        self._log.compare("claims that were accepted but are missing", "all", 0, len(lost))
        others = Counter(row["title"] for row in rows if row["id"] not in accepted)
        self._log.compare("claims that no answer names", "all", 0, (others - Counter(list(undecided))).total())
        for row in rows:
            made_by = None if row["id"] in accepted else undecided.get(row["title"])
            if row["id"] in accepted or made_by:
                self._compare_claim(row, self._index.collect_expected(row["id"], made_by).decide_unknown(row["audit"]))

    def _compare_claim(self, row: Mapping[str, Any], expected: ExpectedEffects) -> None:
        subject, log = row["id"], self._log
        transitions = expected.accepted["move"] + expected.accepted["withdraw"]
        entries = {action: n for action, n in row["audit"].items() if action.startswith("claim.")}
        history = (row["steps"], row["broken"], row["last_state"])
        log.compare("history of a claim", subject, (1 + transitions, 0, row["state"]), history)
        log.compare("audit entries of a claim", subject, dict(expected.list_audit_entries()), entries)
        log.compare("jobs of a claim", subject, _list_done_jobs(expected), row["jobs"])
        notices = self._notices[row["number"]]
        log.compare("notices of a claim to the desk", subject, expected.list_jobs()["staff-new-claim"], notices)
        expected_documents = list_expected_documents(self._index.list_document_calls(subject), row["documents"])
        log.compare("documents of a claim", subject, expected_documents, row["documents"])


def list_expected_documents(calls: Sequence[CallSample], found: Mapping[str, str]) -> dict[str, str]:
    """Return the documents that a claim must have, as `state size`; `found` decides calls without an answer.

    A document that was removed stays removed, whatever was answered about it before or at the same time.
    """
    expected: dict[str, str] = {}
    for record, operation in ((s.record, s.call.operation) for s in calls if s.is_accepted and s.record):
        if operation == "complete" or record["id"] not in expected:
            expected[record["id"]] = f"{'available' if operation == 'complete' else 'pending'} {record['size']}"
    for sample in list_undecided(calls):
        expected |= (
            _find_completed(sample, expected, found)
            if sample.call.operation == "complete"
            else _find_announced(sample, expected, found)
        )
    removed = {s.call.path.rpartition("/")[2] for s in calls if s.call.method == "DELETE" and s.status == NO_CONTENT}
    return expected | {id_: f"removed {expected[id_].split()[1]}" for id_ in removed & set(expected)}


def _find_announced(sample: CallSample, expected: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    state = f"pending {(sample.call.body or {}).get('size')}"
    return dict([(id_, has) for id_, has in found.items() if id_ not in expected and has == state][:1])


def _find_completed(sample: CallSample, expected: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    document = sample.call.path.split("/")[-2]
    done = expected.get(document, "").replace("pending", "available")
    return {document: done} if done and found.get(document) == done else {}
