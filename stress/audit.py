"""The audit: what clients were told, held against database, outbox, queue and inbox, one by one.

An accepted call has exactly its rows, jobs and mails; a refused one has none; one without an answer may have been done
or not, but never half. What is compared is counted, so that an audit that looked at nothing can't look clean.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from stress.ledger import Sample, accepted_once, unsettled
from stress.model import Difference, Reconciliation

LISTED = 50
CENT = Decimal("0.01")
RATES = {"new": Decimal("0.20"), "renewal": Decimal("0.10")}

# What an accepted call leaves behind besides its rows: the audit's action, and the jobs by template.
LEFT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "apply": ("agent.applied", ("agent-received",)),
    "register": ("member.registered", ("identity", "member-welcome")),
    "approve": ("agent.approved", ("identity", "agent-approved")),
    "renew": ("membership.renewed", ("membership-renewed",)),
    "cancel": ("membership.cancelled", ("membership-cancelled",)),
    "edit": ("member.contact_changed", ()),
    "claim": ("claim.submitted", ("claim-received", "staff-new-claim")),
    "move": ("claim.moved", ("claim-moved",)),
    "staff read": ("claim.read", ()),
    "withdraw": ("claim.moved", ("claim-moved",)),
}
LINKED = "account.identity_linked"  # the worker's entry of a sign-in that it has made
TO_DESK = frozenset({"staff-new-claim"})


@dataclass
class Audit:
    """The comparisons made so far, and their differences."""

    compared: Counter[str] = field(default_factory=Counter)
    differences: list[Difference] = field(default_factory=list)

    def compare(self, what: str, subject: str, told: object, found: object) -> bool:
        """Hold one thing against another."""
        self.compared[what] += 1
        if told != found:
            self.differences.append(Difference(what, subject, _text(told), _text(found)))
        return told == found

    def reconciliation(self) -> Reconciliation:
        """All of it, for the report."""
        rest = max(0, len(self.differences) - LISTED)
        return Reconciliation(dict(sorted(self.compared.items())), self.differences[:LISTED], rest)


def _text(value: object) -> str:
    return (
        ", ".join(f"{name} ×{count}" for name, count in sorted(value.items()))
        if isinstance(value, dict)
        else str(value)
    )


@dataclass(frozen=True)
class Told:
    """The answers to the calls about one subject (a person, a claim): how many of each operation were accepted.

    `unknown` are those of which nobody was told whether they were done.
    """

    accepted: Counter[str]
    unknown: Counter[str]

    def settled(self, audit: Mapping[str, int]) -> "Told":
        """The unknown ones decided by the entries that the audit has of them: then all else must be there as well."""
        accepted, beyond = Counter(self.accepted), Counter(audit)
        beyond.subtract(self.audit())
        for name, count in self.unknown.items():
            done = min(count, max(0, beyond[LEFT[name][0]]))
            beyond[LEFT[name][0]] -= done
            accepted[name] += done
        return Told(+accepted, Counter())

    def audit(self) -> Counter[str]:
        """Return the audit entries that there must be, by action: of the calls, and of each sign-in that was made."""
        calls = _sum({LEFT[name][0]: count} for name, count in self.accepted.items() if name in LEFT)
        return calls + Counter({LINKED: self.jobs()["identity"]})

    def jobs(self) -> Counter[str]:
        """The jobs that there must be, by template."""
        return _jobs(self.accepted)

    def mails(self) -> int:
        """The mails that the person must have got."""
        return _mails(self.accepted)

    def more_mails(self) -> int:
        """The mails that they may have got besides."""
        return _mails(self.unknown)


def _jobs(calls: Mapping[str, int]) -> Counter[str]:
    return _sum(dict.fromkeys(LEFT[name][1], count) for name, count in calls.items() if name in LEFT)


def _mails(calls: Mapping[str, int]) -> int:
    return sum(count for job, count in _jobs(calls).items() if job != "identity" and job not in TO_DESK)


def _sum(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


def told_of(samples: Sequence[Sample], subject: str, made_by: Sample | None = None) -> Told:
    """Return what was told of one subject: calls are about what `facts["subject"]` names, or what their answer made.

    `made_by` is the call without an answer that has made it, where that is so.
    """
    mine = [sample for sample in samples if subject_of(sample) == subject]
    accepted = Counter(sample.call.operation for sample in accepted_once(mine))
    accepted.update([made_by.call.operation] if made_by else [])
    return Told(accepted, Counter(s.call.operation for s in unsettled(mine) if s.call.operation in LEFT))


def subject_of(sample: Sample) -> str | None:
    """The id of what a call is about; None where it made nothing."""
    named = sample.call.facts.get("subject")
    if named is not None or not sample.accepted:
        return named
    return str((sample.record or {}).get("id")) if sample.call.operation in ("apply", "register", "claim") else None


class Index:
    """The samples of a run by what they are about: a run of thousands is asked about each of its people."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._about = _grouped(samples, subject_of)
        self._filed = _grouped((s for s in samples if s.call.operation == "claim"), _fact("member"))
        self._evidence = _grouped(samples, _fact("claim"))

    def told(self, subject: str, made_by: Sample | None = None) -> Told:
        """Return what was told of a subject, see `told_of`."""
        return told_of(self._about.get(subject, ()), subject, made_by)

    def filed(self, member: str) -> Sequence[Sample]:
        """The claims that a member has tried to file."""
        return self._filed.get(member, ())

    def evidence(self, claim: str) -> Sequence[Sample]:
        """The calls about a claim's documents."""
        return self._evidence.get(claim, ())


def _grouped(samples: Iterable[Sample], by: Callable[[Sample], str | None]) -> dict[str | None, list[Sample]]:
    groups: dict[str | None, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[by(sample)].append(sample)
    return groups


def _fact(name: str) -> Callable[[Sample], str | None]:
    return lambda sample: sample.call.facts.get(name)


class People:
    """Compares people: `samples` of the whole run, `rows` as the query `people` gives them, `inbox` by recipient."""

    def __init__(self, audit: Audit, samples: Sequence[Sample], inbox: Counter[str]) -> None:
        self._audit = audit
        self._index = Index(samples)
        self._inbox = inbox

    def compare(self, attempts: Mapping[str, Sequence[Sample]], rows: Sequence[Mapping[str, Any]]) -> None:
        """`attempts` are the registrations and applications made with each address."""
        found: dict[str, list[Mapping[str, Any]]] = {email: [] for email in attempts}
        for row in rows:
            found[row["email"]].append(row)
        for email, calls in attempts.items():
            self._address(calls, found[email])

    def _address(self, calls: Sequence[Sample], rows: Sequence[Mapping[str, Any]]) -> None:
        key = calls[0].call.key or ""
        told = {str(s.record["id"]): s for s in reversed(calls) if s.accepted and s.record}
        maybe = [] if told else unsettled(calls)
        if maybe:
            more = max(0, len(rows) - 1)
            self._audit.compare("calls without an answer, done more than once", key, 0, more)
        else:
            self._audit.compare("accounts of an address", key, sorted(told), sorted(row["id"] for row in rows))
        for row in rows:
            if row["id"] in told:
                self._person(row, told[row["id"]], self._index.told(row["id"]))
            elif maybe:
                made_by = next((s for s in maybe if _could_make(s, row)), maybe[0])
                self._person(row, made_by, self._index.told(row["id"], made_by))

    def _person(self, row: Mapping[str, Any], first: Sample, told: Told) -> None:
        subject, audit, done = row["id"], self._audit, told.settled(row["audit"])
        is_member = first.call.operation == "register"
        rows = (row["members"], row["subscriptions"], row["agents"])
        audit.compare("rows of a person", subject, (1, 1, 0) if is_member else (0, 0, 1), rows)
        if is_member:
            agent = first.call.facts.get("agent")
            audit.compare("agent of a member", subject, agent, row["agent"])
            earned = commissions(done, row["price"] if agent else None)
            audit.compare("commissions of a member", subject, earned, row["commissions"])
            voided = int(bool(earned) and done.accepted["cancel"] > 0)
            audit.compare("commissions taken back, and entries of it", subject, [voided, voided], row["voided"])
        audit.compare("audit entries of a person", subject, dict(done.audit()), row["audit"])
        audit.compare("jobs of a person", subject, _all_done(done), row["jobs"])
        least, more = _claim_mails(self._index, subject)
        got, least = self._inbox[row["email"]], least + done.mails()
        audit.compare("mails to a person", subject, min(max(got, least), least + more), got)


def _could_make(sample: Sample, row: Mapping[str, Any]) -> bool:
    role = "member" if sample.call.operation == "register" else "agent"
    return (role, sample.call.facts.get("agent")) == (row["role"], row["agent"])


def _all_done(told: Told) -> dict[str, int]:
    return {f"{job} done": count for job, count in told.jobs().items()}


def commissions(told: Told, price: str | None) -> list[str]:
    """Return what the agent must have earned by a member, as `kind amount`."""
    if price is None:
        return []
    kinds = ["new"] * told.accepted["register"] + ["renewal"] * told.accepted["renew"]
    return [f"{kind} {(Decimal(price) * RATES[kind]).quantize(CENT, ROUND_HALF_EVEN)}" for kind in kinds]


def _claim_mails(index: Index, member: str) -> tuple[int, int]:
    """The mails that a member must have got for their claims, and how many more there may be."""
    filed = index.filed(member)
    ids = {str(s.record["id"]) for s in filed if s.accepted and s.record}
    told = [index.told(claim) for claim in ids]
    maybe = _mails(Counter(s.call.operation for s in unsettled(filed)))
    return sum(each.mails() for each in told), maybe + sum(each.more_mails() for each in told)


class Claims:
    """Compares claims: `rows` as the query `claims` gives them, `desk` how many mails to the desk name a number."""

    def __init__(self, audit: Audit, samples: Sequence[Sample], desk: Counter[str]) -> None:
        self._audit = audit
        self._index = Index(samples)
        self._desk = desk

    def compare(self, members: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """The claims of these members: those that they were told of, and no other."""
        filed = [sample for member in dict.fromkeys(members) for sample in self._index.filed(member)]
        told = {str(s.record["id"]) for s in filed if s.accepted and s.record}
        maybe = {str((s.call.body or {}).get("title")): s for s in unsettled(filed)}
        lost = told - {row["id"] for row in rows}
        self._audit.compare("claims that were told but are not there", "all", 0, len(lost))
        others = Counter(row["title"] for row in rows if row["id"] not in told)
        self._audit.compare("claims that nobody was told of", "all", 0, (others - Counter(list(maybe))).total())
        for row in rows:
            made_by = None if row["id"] in told else maybe.get(row["title"])
            if row["id"] in told or made_by:
                self._claim(row, self._index.told(row["id"], made_by).settled(row["audit"]))

    def _claim(self, row: Mapping[str, Any], told: Told) -> None:
        subject, audit = row["id"], self._audit
        moves = told.accepted["move"] + told.accepted["withdraw"]
        entries = {action: n for action, n in row["audit"].items() if action.startswith("claim.")}
        history = (row["steps"], row["broken"], row["last_state"])
        audit.compare("history of a claim", subject, (1 + moves, 0, row["state"]), history)
        audit.compare("audit entries of a claim", subject, dict(told.audit()), entries)
        audit.compare("jobs of a claim", subject, _all_done(told), row["jobs"])
        notices = self._desk[row["number"]]
        audit.compare("notices of a claim to the desk", subject, told.jobs()["staff-new-claim"], notices)
        told_of_them = documents(self._index.evidence(subject), row["documents"])
        audit.compare("documents of a claim", subject, told_of_them, row["documents"])


def documents(calls: Sequence[Sample], found: Mapping[str, str]) -> dict[str, str]:
    """The documents that a claim must have, as `state size`: what was told, and what of `found` is open."""
    told: dict[str, str] = {}
    for record, operation in ((s.record, s.call.operation) for s in calls if s.accepted and s.record):
        if operation == "complete" or record["id"] not in told:
            told[record["id"]] = f"{'available' if operation == 'complete' else 'pending'} {record['size']}"
    for sample in unsettled(calls):
        told |= (
            _completed(sample, told, found) if sample.call.operation == "complete" else _announced(sample, told, found)
        )
    return told


def _announced(sample: Sample, told: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    state = f"pending {(sample.call.body or {}).get('size')}"
    return dict([(id_, has) for id_, has in found.items() if id_ not in told and has == state][:1])


def _completed(sample: Sample, told: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    document = sample.call.path.split("/")[-2]
    done = told.get(document, "").replace("pending", "available")
    return {document: done} if done and found.get(document) == done else {}
