"""The calls that people make before and after the moment to which their database will be restored."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

from tests.api_client import STAFF
from tests.failover.servers import wait_until
from tests.restore.rehearsal import LedgerCall, LedgerEntry, RehearsedService
from tests.sample_people import make_applicant

# How far the moment is from the commits before and after it. Their times are the server's own.
APART_S = 0.05
WAITING = "SELECT count(*) AS n FROM pg_locks WHERE NOT granted"
# The WAL holds a sequence up to 32 numbers ahead, so a restored one is behind only what was given after these.
USE_LOGGED_NUMBERS = """
SELECT nextval('member_numbers') FROM generate_series(1, (SELECT log_cnt FROM member_numbers))
UNION ALL SELECT nextval('claim_numbers') FROM generate_series(1, (SELECT log_cnt FROM claim_numbers))
"""
TRANSITIONS = "/claims/{claim_id}/transitions"


class RehearsedDay:
    """The day: `restored_to` is the moment, `waiting` the member whose first mail waits at it."""

    def __init__(self, service: RehearsedService) -> None:
        self._service = service
        self._work_before()
        self.restored_to = self._pass_moment()
        self._work_after()

    def _work_before(self) -> None:
        service = self._service
        self.members = [service.register() for _ in range(3)]
        service.do_jobs()
        self.tokens = [service.sign_in(member) for member in self.members]
        self.claim = service.submit(self.tokens[0], "Kept claim")
        service.complete(self.tokens[0], service.announce(self.tokens[0], self.claim["id"]))
        self.announced = service.announce(self.tokens[0], self.claim["id"])
        service.write("POST", "/agents", make_applicant())
        service.do_jobs()
        self.waiting = service.register()

    def _pass_moment(self) -> datetime:
        """Return a moment between two acknowledged writes, within the transaction of a third."""
        service, member = self._service, self.members[2]
        body = {"full_name": "Besa Krasniqi"}
        change = LedgerCall("PATCH", "/members/me", body, self.tokens[2], "begun-before", member["version"])
        lock = service.database.hold_lock("SELECT FROM accounts WHERE id = %s FOR UPDATE", member["id"])
        with ThreadPoolExecutor(1) as pool:
            with lock:
                begun = pool.submit(service.send, change)
                wait_until(lambda: service.database.query_rows(WAITING)[0]["n"] > 0, "no wait", within_s=10)
                time.sleep(APART_S)
                [now] = service.database.query_rows("SELECT clock_timestamp() AS now")
                time.sleep(APART_S)
            service.ledger.append(LedgerEntry(change, begun.result()))
        moment: datetime = now["now"]
        return moment

    def _work_after(self) -> None:
        service, (first, second, _) = self._service, self.tokens
        service.do_jobs()
        service.database.query_rows(USE_LOGGED_NUMBERS)
        self.newcomers = [service.register() for _ in range(3)]
        service.do_jobs()
        service.submit(service.sign_in(self.newcomers[0]), "Claim of a newcomer")
        lost_claim = service.submit(first, "Lost claim")
        lost = [service.announce(first, claim["id"]) for claim in (lost_claim, self.claim)]
        self.completed = [service.complete(first, ids)["id"] for ids in (*lost, self.announced)]
        to, claim_id = {"to": "verification", "reason": "Checked."}, {"claim_id": self.claim["id"]}
        service.write("POST", TRANSITIONS, to, who=STAFF, if_match=1, ids=claim_id)
        renewed = {"member_id": self.members[1]["id"]}
        service.write("POST", "/members/{member_id}/renewals", who=STAFF, ids=renewed)
        # Its version is gone by now, and comes back with the restore.
        self.refused = LedgerCall("PATCH", "/members/me", {"full_name": "Besa Gashi"}, second, "refused", 1)
        assert service.note(self.refused).reply.problem == "stale-version"
        # Without a key the state table knows nothing of it.
        service.write("PATCH", "/members/me", {"full_name": "Besa Berisha"}, who=second, key=None, if_match=2)
        service.register()
        assert service.relay_jobs() > 0  # whose messages are in their queues at the disaster
