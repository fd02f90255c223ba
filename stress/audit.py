"""The audit: what clients were told, held against database, outbox, queue and inbox, one by one.

An accepted call has exactly its rows, jobs and mails; a refused one has none; one without an answer may have been done
or not, but never half. What is compared is counted, so that an audit that looked at nothing can't look clean.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from stress.ledger import Sample
from stress.model import Difference, Reconciliation

LISTED = 50
CENT = Decimal("0.01")
RATES = {"new": Decimal("0.20"), "renewal": Decimal("0.10")}

# What an accepted call leaves behind besides its rows: the audit's action, and the jobs by template.
LEFT: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "apply": ("agent.applied", ("identity", "agent-received")),
    "register": ("member.registered", ("identity", "member-welcome")),
    "approve": ("agent.approve", ("agent-approved",)),
    "renew": ("membership.renewed", ("membership-renewed",)),
    "cancel": ("membership.cancelled", ("membership-cancelled",)),
    "edit": ("member.contact_changed", ()),
    "claim": ("claim.submitted", ("claim-received", "staff-new-claim")),
    "move": ("claim.moved", ("claim-moved",)),
    "withdraw": ("claim.moved", ("claim-moved",)),
}
TO_DESK = frozenset({"staff-new-claim"})
UNKNOWN = frozenset({0, 500, 502, 503, 504})


@dataclass
class Audit:
    """What was compared, and what did not agree."""

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
    """What the calls about one subject (a person, a claim) were told: how many of each operation were accepted."""

    accepted: Counter[str]
    unknown: Counter[str]

    def audit(self) -> Counter[str]:
        """The audit entries that there must be, by action."""
        return _sum({LEFT[name][0]: count} for name, count in self.accepted.items() if name in LEFT)

    def jobs(self) -> Counter[str]:
        """The jobs that there must be, by template."""
        return _sum(dict.fromkeys(LEFT[name][1], count) for name, count in self.accepted.items() if name in LEFT)

    def mails(self) -> int:
        """The mails that the person must have got."""
        return sum(count for job, count in self.jobs().items() if job != "identity" and job not in TO_DESK)


def _sum(parts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return total


def told_of(samples: Sequence[Sample], subject: str) -> Told:
    """What was told of one subject: calls are about what `facts["subject"]` names, or what their answer made."""
    accepted: Counter[str] = Counter()
    unknown: Counter[str] = Counter()
    done: set[tuple[str, str | None]] = set()
    mine = [sample for sample in samples if subject_of(sample) == subject]
    for sample in mine:
        call = (sample.call.operation, sample.call.key)
        if sample.accepted and call not in done:
            done.add(call)
            accepted[sample.call.operation] += 1
    last = {(s.call.operation, s.call.key): s for s in mine}
    for call, sample in last.items():
        if call not in done and sample.status in UNKNOWN:
            unknown[sample.call.operation] += 1
    return Told(accepted, unknown)


def subject_of(sample: Sample) -> str | None:
    """The id of what a call is about; None where it made nothing."""
    named = sample.call.facts.get("subject")
    if named is not None or not sample.accepted:
        return named
    return str((sample.record or {}).get("id")) if sample.call.operation in ("apply", "register", "claim") else None


class People:
    """Compares people: `samples` of the whole run, `rows` as the query `people` gives them, `inbox` by recipient."""

    def __init__(self, audit: Audit, samples: Sequence[Sample], inbox: Counter[str]) -> None:
        self._audit = audit
        self._samples = samples
        self._inbox = inbox

    def compare(self, attempts: Mapping[str, Sequence[Sample]], rows: Sequence[Mapping[str, Any]]) -> None:
        """`attempts` are the registrations and applications made with each address."""
        found: dict[str, list[Mapping[str, Any]]] = {email: [] for email in attempts}
        for row in rows:
            found[row["email"]].append(row)
        for email, calls in attempts.items():
            told = {str(s.record["id"]) for s in calls if s.accepted and s.record}
            unknown = not told and any(s.status in UNKNOWN for s in calls)
            if unknown:
                self._audit.compare(
                    "calls without an answer, done more than once",
                    calls[0].call.key or "",
                    0,
                    max(0, len(found[email]) - 1),
                )
                continue
            self._audit.compare(
                "accounts of an address", calls[0].call.key or "", sorted(told), sorted(r["id"] for r in found[email])
            )
            for row in found[email]:
                if row["id"] in told:
                    self._person(row, next(s for s in calls if s.accepted))

    def _person(self, row: Mapping[str, Any], first: Sample) -> None:
        subject, audit = row["id"], self._audit
        told = told_of(self._samples, subject)
        rows = (row["members"], row["subscriptions"], row["agents"])
        audit.compare("rows of a person", subject, (1, 1, 0) if first.call.operation == "register" else (0, 0, 1), rows)
        if first.call.operation == "register":
            agent = first.call.facts.get("agent")
            audit.compare("agent of a member", subject, agent, row["agent"])
            audit.compare(
                "commissions of a member",
                subject,
                commissions(told, row["price"] if agent else None),
                row["commissions"],
            )
        if not told.unknown:
            audit.compare("audit entries of a person", subject, dict(told.audit()), row["audit"])
            audit.compare(
                "jobs of a person", subject, {f"{job} done": n for job, n in told.jobs().items()}, row["jobs"]
            )
            claims = sum(c for s, c in _claim_mails(self._samples, subject))
            audit.compare("mails to a person", subject, told.mails() + claims, self._inbox[row["email"]])


def commissions(told: Told, price: str | None) -> list[str]:
    """What the agent must have earned by a member, as `kind amount`."""
    if price is None:
        return []
    kinds = ["new"] * told.accepted["register"] + ["renewal"] * told.accepted["renew"]
    return [f"{kind} {(Decimal(price) * RATES[kind]).quantize(CENT, ROUND_HALF_EVEN)}" for kind in kinds]


def _claim_mails(samples: Sequence[Sample], member: str) -> Iterable[tuple[str, int]]:
    ids = {
        str(s.record["id"])
        for s in samples
        if s.call.operation == "claim" and s.accepted and s.record and s.call.facts.get("member") == member
    }
    return ((claim, told_of(samples, claim).mails()) for claim in ids)


class Claims:
    """Compares claims: `rows` as the query `claims` gives them, `desk` how many mails to the desk name a number."""

    def __init__(self, audit: Audit, samples: Sequence[Sample], desk: Counter[str]) -> None:
        self._audit = audit
        self._samples = samples
        self._desk = desk

    def compare(self, members: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """The claims of these members: those that they were told of, and no other."""
        filed = [s for s in self._samples if s.call.operation == "claim" and s.call.facts.get("member") in members]
        told = {str(s.record["id"]) for s in filed if s.accepted and s.record}
        settled = {s.call.key for s in filed if s.accepted}
        unknown = {s.call.key for s in filed if s.status in UNKNOWN} - settled
        found = {row["id"] for row in rows}
        self._audit.compare("claims that were told but are not there", "all", 0, len(told - found))
        untold = max(0, len(found - told) - len(unknown))
        self._audit.compare("claims that nobody was told of", "all", 0, untold)
        for row in rows:
            if row["id"] in told:
                self._claim(row)

    def _claim(self, row: Mapping[str, Any]) -> None:
        subject, audit = row["id"], self._audit
        told = told_of(self._samples, subject)
        moves = told.accepted["move"] + told.accepted["withdraw"]
        audit.compare(
            "history of a claim",
            subject,
            (1 + moves, 0, row["state"]),
            (row["steps"], row["broken"], row["last_state"]),
        )
        audit.compare(
            "audit entries of a claim",
            subject,
            dict(told.audit()),
            {k: n for k, n in row["audit"].items() if k.startswith("claim.")},
        )
        audit.compare("jobs of a claim", subject, {f"{job} done": n for job, n in told.jobs().items()}, row["jobs"])
        audit.compare(
            "notices of a claim to the desk", subject, told.jobs()["staff-new-claim"], self._desk[row["number"]]
        )
        audit.compare("documents of a claim", subject, self._documents(subject), row["documents"])

    def _documents(self, claim: str) -> dict[str, str]:
        mine = [s for s in self._samples if s.call.facts.get("claim") == claim and s.accepted and s.record]
        documents: dict[str, str] = {}
        for sample in mine:
            document = sample.record or {}
            state = "available" if sample.call.operation == "complete" else "pending"
            if sample.call.operation == "complete" or document["id"] not in documents:
                documents[document["id"]] = f"{state} {document['size']}"
        return documents
