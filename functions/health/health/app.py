"""The handler of the health checks, and of the schedule that publishes the alarms' metrics."""

from typing import Any

from health.container import HealthContainer, get_container
from health.deep_check import CheckResult
from health.metrics import publish, publish_failover
from health.model import HealthReport, HealthView
from shared.api.call import Call
from shared.api.operation import IgnoredQuery, NoInput
from shared.api.parsing import is_request
from shared.api.responses import Answer, make_answer
from shared.api.router import Api
from shared.logging import count_version_failure

api: Api[HealthContainer] = Api()


@api.get(
    "/health",
    operation_id="health.check",
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
    operation_id="health.check_dependencies",
    summary="Check all dependencies",
    input=IgnoredQuery,
    answer=HealthReport,
    also_status=(503,),
    sign_in="none",
    limit="health-deep",
)
def check_dependencies(call: Call[NoInput, HealthContainer]) -> Answer:
    """Check every dependency within 2 seconds; the result is cached for a few seconds. 503 when unhealthy."""
    checked = call.services.check.run()
    if checked.failed_over:
        publish_failover()  # no other check will report it
    report = build_report(call.services, checked)
    return make_answer(report, status=503 if report.status == "unhealthy" else 200)


def publish_report(container: HealthContainer) -> HealthReport:
    """Publish a check's metrics and return its report; only the schedule's runs do so.

    Requests publish none: the check of a release calls versions that may never get traffic, and what such a version
    finds would ring the alarms that tell people.
    """
    checked = container.check.run()
    publish(checked)
    return build_report(container, checked)


def build_report(container: HealthContainer, checked: CheckResult) -> HealthReport:
    """Return the report of a check; an unhealthy one counts as a failure of this version."""
    report = HealthReport(**dict(checked.findings), runtime=container.process.read_usage())
    if report.status == "unhealthy":
        count_version_failure()
    return report


def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Serve as Lambda's entry point; an event that is no request comes from the schedule and gets the report itself."""
    container = get_container()
    container.process.count_invocation()
    if is_request(event):
        return api.handle(event, context, container)
    return publish_report(container).model_dump(mode="json")
