"""The handler of the health checks, and of the schedule that publishes the alarms' metrics."""

from typing import Any

from health.container import HealthContainer, get_container
from health.deep_check import CheckResult
from health.metrics import publish
from health.model import HealthReport, HealthView
from shared.api.call import Call
from shared.api.operation import IgnoredQuery, NoInput
from shared.api.parsing import is_request
from shared.api.responses import Answer, make_answer
from shared.api.router import Api

api: Api[HealthContainer] = Api()


@api.get(
    "/health",
    summary="Check that the service answers",
    input=IgnoredQuery,
    answer=HealthView,
    sign_in="none",
    limit=None,
)
def check_process(call: Call[NoInput]) -> Answer:
    """Check only that the process answers; nothing outside it is queried."""
    version = call.services.settings.version
    return make_answer(HealthView(status="healthy", version=version, time=call.services.clock()))


@api.get(
    "/health/deep",
    summary="Check all dependencies",
    input=IgnoredQuery,
    answer=HealthReport,
    also_status=(503,),
    sign_in="none",
    limit="health-deep",
)
def check_dependencies(call: Call[NoInput, HealthContainer]) -> Answer:
    """Check every dependency within 2 seconds; the result is cached for a few seconds. 503 when unhealthy."""
    report = write_report(call.services)
    return make_answer(report, status=503 if report.status == "unhealthy" else 200)


def write_report(container: HealthContainer) -> HealthReport:
    """Return the report after publishing its metrics."""
    checked: CheckResult = container.check.run()
    publish(checked)
    return HealthReport(**dict(checked.findings), runtime=container.process.read_usage())


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve as Lambda's entry point; an event that is no request comes from the schedule and gets the report itself."""
    container = get_container()
    container.process.count_invocation()
    if is_request(event):
        return api.handle(event, context, container)
    return write_report(container).model_dump(mode="json")
