"""A stack that is not ours to break: what can be proved about it by HTTP alone, from one address.

There is no SQL here, so the audit is made through the API, by a member of staff: whoever was told that they are there
is there, once; whoever was refused is not.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from stress.ledger import Ledger, Sample
from stress.limits import Limit, wrongly_accepted, wrongly_refused
from stress.live import Live
from stress.load import Clock, Generator
from stress.model import Report
from stress.people import People
from stress.profiles import SHORT
from stress.stage import Bench
from stress.summary import environment, report, timeline, write
from stress.verdict import percentile

CROWD = 20
LIMIT = Limit(5, 60)
READS = 200  # of the shallow health check
RATE = 20.0
CALLER = "127.0.0.1"  # one client, whatever address it really has

# SES's own mailbox simulator takes these mails, and no bounce counts against the account.
MAILBOX = "success+{name}@simulator.amazonses.com"

WHAT = f"""This will create, at {{target}}:
  up to {2 * LIMIT.burst + 4} members and {LIMIT.burst + 2} agents' applications, with mail to SES's mailbox simulator;
  {4 * CROWD} refused or repeated calls, and {READS} reads of the health check.
Nothing is removed again, and nothing is broken on purpose."""


class Remote:
    """The scenarios of such a stack; `staff` is a staff member's access token, without which nothing is reconciled."""

    def __init__(self, staff: str) -> None:
        self._staff = staff

    def scenarios(self) -> dict[str, tuple[str, str, Callable[[Bench], Awaitable[None]]]]:
        """Title, promise and work of each, by key."""
        return {
            "agents": (
                "Concurrent agent registration",
                "20 applications at once from one address: exactly 5.",
                self._agents,
            ),
            "members": (
                "Concurrent member registration",
                "One key is one member, one address is 5 a minute.",
                self._members,
            ),
            "health": (
                "Health under load",
                "The shallow check answers every time, the deep one says what is.",
                self._health,
            ),
        }

    async def _agents(self, bench: Bench) -> None:
        bench.step(f"{CROWD} applications at once")
        calls = [replace(bench.people.application(), client=CALLER, wanted=(201, 429)) for _ in range(CROWD)]
        samples = await bench.burst(calls)
        _judge(bench, samples)
        for sample in samples:
            if sample.accepted:
                record = sample.record or {}
                found = await self._look(bench, f"/agents/{record.get('id')}")
                bench.audit.compare("agent as staff see them", str(record.get("id")), 200, found.status)
        self._needs_staff(bench)

    async def _members(self, bench: Bench) -> None:
        bench.step(f"{CROWD} calls with one key")
        call = replace(bench.people.registration(), client=CALLER, wanted=(201, 409))
        same = [*await bench.burst([call] * CROWD), *await bench.burst([call] * CROWD)]
        bench.equal("Calls with one key, repeated: one answer", 1, len({str(s.record) for s in same[CROWD:]}))
        bench.step(f"{CROWD} registrations at once")
        calls = [replace(bench.people.registration(), client=CALLER, wanted=(201, 429)) for _ in range(CROWD)]
        made = await bench.burst(calls)
        first = [s for s in same if s.accepted and not s.replayed][:1]
        _judge(bench, [*first, *made], already=len(first))
        await self._reconcile(bench, [*same, *made])

    async def _reconcile(self, bench: Bench, samples: Sequence[Sample]) -> None:
        """Each address that was tried has the member that was told of, or none."""
        bench.step("reconciling through the API")
        told: dict[str, set[str]] = {str((s.call.body or {})["email"]): set() for s in samples}
        for sample in samples:
            if sample.accepted and sample.record:
                told[str((sample.call.body or {})["email"])].add(str(sample.record["id"]))
        for n, (email, ids) in enumerate(sorted(told.items())):
            found = await self._look(bench, f"/members?email={email.replace('+', '%2B')}")
            there = {str(item["id"]) for item in (found.record or {}).get("items", [])}
            bench.audit.compare("members of an address, as staff see them", f"number {n}", sorted(ids), sorted(there))
        self._needs_staff(bench)

    def _needs_staff(self, bench: Bench) -> None:
        wanted = "a staff member's token in STAFF_TOKEN"
        bench.check(
            "Somebody can look what is there",
            holds=bool(self._staff),
            wanted=wanted,
            found="given" if self._staff else "none",
        )

    async def _look(self, bench: Bench, path: str) -> Sample:
        return await bench.generator.send(bench.people.read("look", path, client=CALLER, token=self._staff))

    async def _health(self, bench: Bench) -> None:
        bench.step(f"{READS} reads, {RATE:.0f} a second")
        bench.wanted += READS
        calls = [bench.people.read("health", "/health", client=CALLER) for _ in range(READS)]
        samples = await bench.generator.arrivals(calls, RATE, seed=1)
        bench.figure("Health, shallow: p95", percentile([s.latency_ms for s in samples], 0.95), "ms")
        deep = await bench.generator.send(bench.people.read("deep health", "/health/deep", client=CALLER))
        word = (deep.record or {}).get("status")
        bench.equal("The deep check's word", "healthy", word)
        open_ = [
            name for name, check in (deep.record or {}).get("checks", {}).items() if check.get("circuit") == "open"
        ]
        bench.audit.compare("what the deep check says, and its checks", "circuits", word == "healthy", not open_)


def _judge(bench: Bench, samples: Sequence[Sample], already: int = 0) -> None:
    """One client's calls against its limit; `already` were made in the moment before."""
    found = Counter(sample.status for sample in samples[already:])
    most = LIMIT.burst - already
    gained = int((max(s.done_s for s in samples) - min(s.sent_s for s in samples)) / LIMIT.interval_s)
    bench.check(f"{CROWD} at once from one address: {most} accepted", holds=most <= found[201] <= most + gained,
                wanted=most, found=dict(found))  # fmt: skip
    bench.equal("Accepted beyond what the limit gives, in any stretch of time", 0, wrongly_accepted(samples, LIMIT))
    bench.equal("Refused though the limit was not used up", 0, wrongly_refused(samples, LIMIT))


async def run(url: str, staff: str, out: Path, live: Live) -> Report:
    """Go through them at the API's base path, and write the report."""
    clock, ledger, started_at = Clock(), Ledger(), datetime.now(UTC)
    generator = Generator(url.rstrip("/"), ledger, clock, lambda sample: _told(live, sample))
    people, results = People(time.time_ns(), MAILBOX), []
    try:
        for key, (title, promise, work) in Remote(staff).scenarios().items():
            live.scenario(key, title)
            bench = Bench(key=key, title=title, promise=promise, profile=SHORT, generator=generator.of(key),
                          people=people, ledger=ledger, live=live, began_s=clock.now())  # fmt: skip
            await work(bench)
            bench.ended_s = clock.now()
            results.append(bench.result())
            live.finished(results[-1])
    finally:
        await generator.close()
    found = report(results, started_at=started_at, duration_s=clock.now(), profile="remote", target=url,
                   over_time=timeline(ledger.samples, clock.now()), environment=environment(Path(__file__).parent),
                   settings={"reconciled": "through the API" if staff else "not at all"})  # fmt: skip
    write(found, ledger.samples, out)
    return found


def _told(live: Live, sample: Sample) -> None:
    live.answer(sample.right)
    live.lag(sample.lag_ms)
