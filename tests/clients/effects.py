"""The comparison of a client's calls with what they left behind, while every fifth answer is lost."""

from dataclasses import dataclass

from tests.crash_recovery.lossy_proxy import LossyProxy
from tests.e2e.cloud import RunningCloud
from tests.measurements import record

LOST_EVERY = 5
# What each member's four calls leave in the audit.
EFFECTS = ("member.registered", "member.contact_changed", "membership.paused", "membership.resumed")


@dataclass(frozen=True)
class EffectCheck:
    """The comparison of a client's calls with what they left behind."""

    cloud: RunningCloud
    proxy: LossyProxy

    def require_each_once(self, client: str, ids: list[str]) -> None:
        """Fail unless each of the four calls about each member had exactly one effect, with answers lost meanwhile."""
        rows = self.cloud.query_rows(
            "SELECT action, count(*) AS n, count(DISTINCT subject_id) AS members FROM audit"
            " WHERE subject_id = ANY(%s::uuid[]) AND action = ANY(%s) GROUP BY action",
            ids,
            list(EFFECTS),
        )
        calls, effects = len(ids) * len(EFFECTS), sum(row["n"] for row in rows)
        lost = [each for each in self.proxy.lost if not each.startswith("GET ")]
        record(f"client_{client}", calls=calls, effects=effects, answers_lost=len(lost))
        assert {row["action"]: (row["n"], row["members"]) for row in rows} == dict.fromkeys(
            EFFECTS, (len(ids), len(ids))
        )
        assert len(lost) >= calls / LOST_EVERY
