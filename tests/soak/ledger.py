"""The answers to clients, call by call, to be compared with the rows in the end."""

from collections import Counter
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

# The jobs that an acknowledged call leaves behind, by template; an identity has none.
JOBS: dict[str, tuple[str, ...]] = {
    "member.registered": ("identity", "member-welcome"),
    "agent.applied": ("agent-received",),
    "membership.renewed": ("membership-renewed",),
    "claim.submitted": ("claim-received", "staff-new-claim"),
    "claim.transitioned": ("claim-moved",),
}


@dataclass
class SoakLedger:
    """The acknowledged writes, by what the audit calls them; and how each call came to its answer."""

    answered: dict[str, list[dict[str, Any]]] = field(default_factory=lambda: {action: [] for action in JOBS})
    tries: Counter[str] = field(default_factory=Counter)
    unfinished: list[str] = field(default_factory=list)
    _lock: Lock = field(default_factory=Lock)

    def note(self, action: str, record: dict[str, Any]) -> None:
        """A write was acknowledged, with this record as it then was."""
        with self._lock:
            self.answered[action].append(record)

    def note_attempt(self, outcome: str) -> None:
        """A try came to this: a status, or the name of what the line did."""
        with self._lock:
            self.tries[outcome] += 1

    def note_unanswered(self, call: str) -> None:
        """A call had no answer after all its tries."""
        with self._lock:
            self.unfinished.append(call)

    @property
    def writes(self) -> int:
        """How many were acknowledged."""
        return sum(len(records) for records in self.answered.values())

    def count_jobs(self) -> Counter[str]:
        """Return the jobs that must be there, by template."""
        wanted: Counter[str] = Counter()
        for action, records in self.answered.items():
            for template in JOBS[action]:
                wanted[template] += len(records)
        return wanted

    def find_latest(self, *actions: str) -> dict[str, dict[str, Any]]:
        """Return the newest version answered of each record, by id."""
        newest: dict[str, dict[str, Any]] = {}
        for action in actions:
            for record in self.answered[action]:
                known = newest.get(record["id"])
                if known is None or known["version"] < record["version"]:
                    newest[record["id"]] = record
        return newest
