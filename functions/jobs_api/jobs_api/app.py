"""The dead letters, for admins: parse, call once, map."""

from typing import Any

from jobs_api import service
from jobs_api.model import Dismissal, JobQuery, JobView
from shared.api.auth.caller import ADMIN
from shared.api.operation import Answer, Call, Nothing, answered
from shared.api.pages import Page
from shared.api.router import Api
from shared.container import wiring

api = Api()

LIST = "jobs"


@api.get("/jobs", summary="List jobs that did not end well", input=JobQuery, answer=Page[JobView], access=ADMIN)
def find(call: Call[JobQuery]) -> Answer:
    """Failed ones, uncertain ones (mails that may or may not have been sent), or those that an admin has dismissed."""
    cursors, listing = call.wiring.cursors, f"{LIST} {call.input.state}"
    rows = call.read(service.find, call.input, after=cursors.read(listing, call.input.cursor))
    return answered(cursors.page(listing, rows, call.input.limit, JobView.model_validate))


@api.post(
    "/jobs/{job_id}/replay",
    summary="Do a job again",
    answer=JobView,
    access=ADMIN,
    limit="claim-work",
    refusals=("not-found", "job-not-failed"),
)
def replay(call: Call[Nothing]) -> Answer:
    """For a failed job, or an uncertain one of which a person knows that it was not done."""
    facts = call.once(service.replay, call.ids["job_id"], actor=call.actor)
    return answered(JobView.model_validate(facts))


@api.post(
    "/jobs/{job_id}/dismiss",
    summary="Give a job up for ever",
    input=Dismissal,
    answer=JobView,
    access=ADMIN,
    limit="claim-work",
    refusals=("not-found", "job-not-failed"),
)
def dismiss(call: Call[Dismissal]) -> Answer:
    """For a failed or an uncertain job: it is never done again, and nothing counts it as waiting for a person."""
    facts = call.once(service.dismiss, call.ids["job_id"], call.input.reason, actor=call.actor)
    return answered(JobView.model_validate(facts))


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point."""
    return api.handle(event, context, wiring())
