"""Jobs and mails: each effect has its jobs, each mail job has its mail, all once."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from judge.history.model import AuditFact, HistoryFindings, JobFact, PromisedEffect, RecordedHistory

DONE, UNCERTAIN, FAILED = "done", "uncertain", "failed"


def check_deliveries(history: RecordedHistory, found: HistoryFindings) -> None:
    """Check jobs against effects, and mails against jobs."""
    jobs: dict[str, list[JobFact]] = defaultdict(list)
    for job in history.jobs:
        jobs[job.request].append(job)
    promised = {effect.action: effect for effect in history.effects if effect.action and not effect.lists}
    explained = _check_jobs(history.audits, promised, jobs, found)
    _check_unasked_jobs(history, jobs, explained, found)
    _check_mails(history, found)


def _check_jobs(
    audits: Sequence[AuditFact],
    promised: dict[str, PromisedEffect],
    jobs: dict[str, list[JobFact]],
    found: HistoryFindings,
) -> set[str]:
    """Check the jobs of each effect; return the requests that have effects."""
    expected: dict[str, list[str]] = defaultdict(list)
    for audit in audits:
        if audit.action in promised:
            expected[audit.request] += promised[audit.action].jobs
    for request, templates in expected.items():
        present = Counter(job.template for job in jobs.get(request, ()))
        for template in templates:
            found.count("jobs")
            one = next((each for each in template.split("|") if present[each] > 0), None)
            if one is None:
                found.add("job-missing", request, f"there is no job {template}")
            else:
                present[one] -= 1
        for template, count in (+present).items():
            found.add("job-twice" if template in templates else "job-unasked", request, f"{template}: {count} too many")
    return set(expected)


def _check_unasked_jobs(
    history: RecordedHistory, jobs: dict[str, list[JobFact]], explained: set[str], found: HistoryFindings
) -> None:
    """Check that no call has left jobs without an effect, least of all one that was refused."""
    for call in history.calls:
        if call.request in jobs and call.request not in explained:
            found.add(
                "job-unasked", call.request, f"call {call.id} got {call.status}, and left {len(jobs[call.request])}"
            )


def _check_mails(history: RecordedHistory, found: HistoryFindings) -> None:
    arrived = Counter((mail.request, mail.to) for mail in history.mails)
    wanted: Counter[tuple[str, str]] = Counter()
    optional: Counter[tuple[str, str]] = Counter()
    for job in history.jobs:
        if job.state not in (DONE, UNCERTAIN, FAILED):
            found.add("job-not-ended", job.id, f"it is {job.state}")
        if job.is_mail and not job.dropped:
            found.count("mails")
            counts = wanted if job.state == DONE else optional if job.state != FAILED else Counter()
            counts[job.request, job.to or ""] += 1
    for one in sorted({*wanted, *arrived}):
        if arrived[one] < wanted[one]:
            found.add("mail-missing", one[0], f"{arrived[one]} of {wanted[one]} mails have arrived")
        elif arrived[one] > wanted[one] + optional[one]:
            kind = "mail-twice" if wanted[one] + optional[one] else "mail-unasked"
            found.add(kind, one[0], f"{arrived[one]} mails have arrived, {wanted[one] + optional[one]} jobs send them")
