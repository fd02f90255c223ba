"""Made-up histories of a correct service: members file claims, staff move and read them, mails arrive.

Each call is decided at a moment between its begin and its end, and all decisions are made in the order of these
moments, so that the histories are linearizable by the way they are made.
"""

import random
from dataclasses import dataclass, field
from typing import Any

from judge.history.model import (
    AuditFact,
    ClockReading,
    HistoryCall,
    JobFact,
    KeyFact,
    LoggedCommit,
    MailFact,
    PromisedEffect,
    PromisedLimit,
    RecordedHistory,
    RowFact,
)

EPOCH = 1_790_000_000.0
EFFECTS = [
    PromisedEffect("claim", "claim.submitted", versioned=True, jobs=("claim-received", "staff-new-claim")),
    PromisedEffect("move", "claim.transitioned", versioned=True, jobs=("claim-moved|documents-requested",)),
    PromisedEffect("own claims", lists="claim", whose="own"),
]
LIMITS = [
    PromisedLimit("claim-submission", 5, 600.0, "account", ("POST /claims",)),
    PromisedLimit("claim-work", 60, 60.0, "account", ("POST /claims/{id}/transitions",)),
]
PAGE = 3
STEP_S, LONGEST_S = 0.01, 0.05


@dataclass
class MadeClaim:
    """A claim as it is after all decisions so far."""

    id: str
    owner: str
    version: int = 1


@dataclass
class MadeService:
    """A correct service and its clients; `calls` of them are made by `accounts` members and a few staff."""

    dice: random.Random
    accounts: int
    history: RecordedHistory = field(default_factory=RecordedHistory)
    claims: list[MadeClaim] = field(default_factory=list)
    of_owner: dict[str, list[MadeClaim]] = field(default_factory=dict)
    now: float = 1.0
    free: dict[str, float] = field(default_factory=dict)
    buckets: dict[str, float] = field(default_factory=dict)
    walks: dict[str, HistoryCall] = field(default_factory=dict)
    undecided: dict[str, tuple[HistoryCall, dict[str, Any] | None]] = field(default_factory=dict)

    def make_call(self) -> None:
        """Decide the next call."""
        self.now += self.dice.uniform(0.1, 1.0) * STEP_S
        staff = self.dice.random() < 0.5
        account = f"staff{self.dice.randrange(8)}" if staff else f"member{self.dice.randrange(self.accounts)}"
        if self.free.get(account, 0.0) >= self.now:
            return
        begin = max(self.free.get(account, 0.0), self.now - self.dice.uniform(0, LONGEST_S))
        end = self.now + self.dice.uniform(0.0001, LONGEST_S)
        fields: dict[str, Any] = {"account": account, "begin": begin, "end": end}
        self.free[account] = end
        if account in self.undecided:
            self._repeat(account, fields)
        elif not staff:
            self.dice.choice((self._file, self._read_own, self._read_page, self._read_page))(fields)
        elif self.claims:
            self.dice.choice((self._move, self._move, self._read_any))(fields)

    def _note(self, fields: dict[str, Any], **more: Any) -> HistoryCall:
        number = len(self.history.calls)
        call = HistoryCall(
            **{"id": number, "scenario": "made", "client": "a", "request": f"r{number}", **fields, **more}
        )
        self.history.calls.append(call)
        return call

    def _spend(self, account: str, interval: float, burst: int) -> bool:
        tat = max(self.buckets.get(account, 0.0), self.now)
        if tat + interval - self.now > burst * interval + 1e-9:
            return False
        self.buckets[account] = tat + interval
        return True

    def _file(self, fields: dict[str, Any]) -> None:
        fields = {**fields, "operation": "claim", "route": "POST /claims", "key": f"k{len(self.history.calls)}"}
        if not self._spend(fields["account"], 120.0, 5):
            self._note(fields, status=429, problem="too-many-requests")
            return
        self._answer(fields, lambda: self._create(fields["account"], fields["begin"]), 201)

    def _create(self, owner: str, begin: float) -> MadeClaim:
        # its id is older than its commit: it was made when the call began
        claim = MadeClaim(f"c{begin:015.6f}{self.dice.randrange(10**6):06d}", owner)
        self.claims.append(claim)
        self.of_owner.setdefault(owner, []).append(claim)
        return claim

    def _move(self, fields: dict[str, Any]) -> None:
        claim = self.dice.choice(self.claims[-40:])
        based_on = max(1, claim.version - (self.dice.random() < 0.3))
        fields = {**fields, "operation": "move", "route": "POST /claims/{id}/transitions", "target": claim.id,
                  "key": f"k{len(self.history.calls)}", "if_match": based_on}  # fmt: skip
        if not self._spend(fields["account"], 1.0, 60):
            self._note(fields, status=429, problem="too-many-requests")
        elif based_on != claim.version:
            self._note(fields, status=412, problem="stale-version")
        else:
            self._answer(fields, lambda: self._advance(claim), 200)

    def _advance(self, claim: MadeClaim) -> MadeClaim:
        claim.version += 1
        return claim

    def _answer(self, fields: dict[str, Any], work: Any, status: int) -> None:
        """Answer a write; now and then the answer is lost, with or without the write."""
        lost = self.dice.random() < 0.05
        if lost and self.dice.random() < 0.5:
            self.undecided[fields["account"]] = (self._note(fields, status=0, request=""), None)
            return
        request, claim = f"r{len(self.history.calls)}", work()
        answer = {"record": claim.id, "version": claim.version}
        self._commit(fields, request, claim)
        if lost:
            self.undecided[fields["account"]] = (self._note(fields, status=0, request=""), answer)
        else:
            self._note(fields, status=status, **answer)

    def _commit(self, fields: dict[str, Any], request: str, claim: MadeClaim) -> None:
        history, xid = self.history, len(self.history.commits) + 700
        effect = next(each for each in EFFECTS if each.operation == fields["operation"])
        history.commits.append(LoggedCommit(xid, 10_000 + 100 * len(history.commits), EPOCH + self.now))
        history.audits.append(AuditFact(request, str(effect.action), claim.id, xid))
        history.keys.append(KeyFact(fields["key"], xid))
        for template in effect.jobs:
            to = "desk" if template.startswith("staff") else claim.owner
            one = template.split("|")[0]
            history.jobs.append(JobFact(f"j{len(history.jobs)}", one, request, "done", to))
            history.mails.append(MailFact(request, to))

    def _repeat(self, account: str, fields: dict[str, Any]) -> None:
        """Repeat a call that got no answer, with its key: it gets its first answer, or is executed now."""
        call, answer = self.undecided.pop(account)
        same = {name: getattr(call, name) for name in ("operation", "route", "key", "target", "if_match")}
        fields = {**fields, **same}
        if answer is not None:
            self._note(fields, status=201 if call.operation == "claim" else 200, replayed=True, **answer)
        elif call.operation == "claim":
            self._answer(fields, lambda: self._create(account, call.begin), 201)
        else:
            claim = next(each for each in reversed(self.claims) if each.id == call.target)
            if claim.version != call.if_match:
                self._note(fields, status=412, problem="stale-version")
            else:
                self._answer(fields, lambda: self._advance(claim), 200)

    def _read_any(self, fields: dict[str, Any]) -> None:
        self._read(fields, self.dice.choice(self.claims[-40:]))

    def _read_own(self, fields: dict[str, Any]) -> None:
        if own := self.of_owner.get(fields["account"]):
            self._read(fields, self.dice.choice(own))

    def _read(self, fields: dict[str, Any], claim: MadeClaim) -> None:
        self._note(fields, operation="look", route="GET /claims/{id}", target=claim.id, status=200, record=claim.id,
                   version=claim.version)  # fmt: skip

    def _read_page(self, fields: dict[str, Any]) -> None:
        account = fields["account"]
        before = self.walks.pop(account, None)
        cursor = before.next_cursor if before else None
        own = sorted((c for c in self.of_owner.get(account, ()) if cursor is None or c.id < cursor),
                     key=lambda each: each.id, reverse=True)  # fmt: skip
        shown = own[:PAGE]
        more = shown[-1].id if len(own) > PAGE else None
        page = self._note(fields, operation="own claims", route="GET /claims", status=200, listing="GET /claims",
                          cursor=cursor, next_cursor=more, items=tuple((c.id, c.version) for c in shown))  # fmt: skip
        if more:
            self.walks[account] = page


def make_history(seed: int, calls: int = 1500, accounts: int = 12) -> RecordedHistory:
    """Return a correct history of about `calls` calls."""
    service = MadeService(random.Random(seed), accounts)
    service.history.effects += EFFECTS
    service.history.limits += LIMITS
    while len(service.history.calls) < calls:
        service.make_call()
        if len(service.history.calls) % 50 == 0:
            # days pass between spells of traffic, so that limits refill
            service.now += 700.0 * (service.dice.random() < 0.4)
    for each in range(5):
        at = service.now * each / 4
        service.history.clock.append(ClockReading(at, EPOCH + at + 0.0004, at + 0.001))
    service.history.rows += [RowFact(claim.id, claim.version) for claim in service.claims]
    return service.history
