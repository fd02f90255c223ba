"""The health function: parse, call once, map; and the schedule that gives the alarms their data."""

from typing import Any, cast

from health.check import Checked
from health.metrics import publish
from health.model import HealthView, Report
from health.wiring import HealthWiring, wiring
from shared.api.operation import Answer, AnyQuery, Call, Nothing, answered
from shared.api.request import is_request
from shared.api.router import Api

api = Api()


@api.get("/health", summary="Is it there?", input=AnyQuery, answer=HealthView, sign_in="none", limit=None)
def shallow(call: Call[Nothing]) -> Answer:
    """Touches nothing outside the process."""
    version = call.wiring.settings.service_version
    return answered(HealthView(status="healthy", version=version, time=call.wiring.clock()))


@api.get(
    "/health/deep",
    summary="Is it well?",
    input=AnyQuery,
    answer=Report,
    also_status=(503,),
    sign_in="none",
    limit="health-deep",
)
def deep(call: Call[Nothing]) -> Answer:
    """Asks everything the service stands on, within 2 seconds; the answer is kept for a few. 503 when unhealthy."""
    report = examine(cast("HealthWiring", call.wiring))
    return answered(report, status=503 if report.status == "unhealthy" else 200)


def examine(own: HealthWiring) -> Report:
    """The report, its metrics written."""
    checked: Checked = own.check.run()
    publish(checked)
    return Report(**dict(checked.findings), runtime=own.process.now())


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Lambda's entry point; an event that is no request is the schedule's, and gets the report itself."""
    own = wiring()
    own.process.begin()
    if is_request(event):
        return api.handle(event, context, own)
    return examine(own).model_dump(mode="json")
