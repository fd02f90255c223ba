"""The handler of the jobs API: jobs that are not done, for admins."""

from typing import Any

from jobs_api import service
from jobs_api.model import Dismissal, JobQuery, JobView
from shared.api.auth.caller import ADMIN
from shared.api.call import Call, list_page
from shared.api.operation import NoInput
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.container import get_container, import_ahead
from shared.fields.pagination import Page

import_ahead()

api = Api()


@api.get(
    "/jobs",
    operation_id="jobs.list",
    summary="List jobs that are not done",
    input=JobQuery,
    answer=Page[JobView],
    access=ADMIN,
)
def list_jobs(call: Call[JobQuery]) -> Answer:
    """List jobs in one state, with their age and why they are not done: failed ones, if no state is named.

    A job is uncertain if its mail may or may not have been sent, and dismissed if an admin has given it up.
    """
    return list_page(call, f"jobs {call.input.state}", JobView, service.list_jobs, state=call.input.state)


@api.post(
    "/jobs/{job_id}/replay",
    operation_id="jobs.replay",
    summary="Replay a job",
    answer=JobView,
    access=ADMIN,
    limit="claim-work",
    refusals=("not-found", "job-not-failed"),
)
def replay_job(call: Call[NoInput]) -> Answer:
    """Repeat a failed job, or an uncertain one if you know that it was not done."""
    facts = call.run_once(service.replay_job, call.ids["job_id"], actor=call.actor)
    return make_answer(JobView.model_validate(facts))


@api.post(
    "/jobs/{job_id}/dismiss",
    operation_id="jobs.dismiss",
    summary="Dismiss a job",
    input=Dismissal,
    answer=JobView,
    access=ADMIN,
    limit="claim-work",
    refusals=("not-found", "job-not-failed"),
)
def dismiss_job(call: Call[Dismissal]) -> Answer:
    """Dismiss a failed or uncertain job: it is never repeated, and no longer counts as waiting for a person."""
    facts = call.run_once(service.dismiss_job, call.ids["job_id"], call.input.reason, actor=call.actor)
    return make_answer(JobView.model_validate(facts))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve as Lambda's entry point."""
    return api.handle(event, context, get_container())
