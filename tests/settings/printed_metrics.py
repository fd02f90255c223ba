"""The metrics that the functions' code really prints, as CloudWatch reads them from the log."""

import io
from collections.abc import Callable, Iterable
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache
from unittest.mock import patch

from health.app import publish_report
from health.container import HealthContainer
from local.events.embedded_metrics import MetricDatum, read_metrics
from shared.logging import COUNTED, STACK_VARIABLE, count_first_runs, count_version_failure, observe
from shared.settings import Settings
from tests.settings.alarms import RELEASED
from tests.settings.deployed import load_template
from tests.unit.health.reports import WRITER, ScriptedDependencies


def as_text(value: object) -> str:
    """Return a value of the template as text: `Ref Name`, `GetAtt Name.Attribute`, or itself."""
    match value:
        case {"Ref": name}:
            return f"Ref {name}"
        case {"Fn::GetAtt": [name, attribute]}:
            return f"GetAtt {name}.{attribute}"
        case {"Fn::Sub": str(text)}:
            return f"Sub {text}"
    return str(value)


@cache
def printed_metrics() -> frozenset[MetricDatum]:
    """Return each metric of a health report that finds everything, of each counted event and run, and of failures.

    The code runs with the template's value of the variable that names the stack, written as text. Of values and times
    nothing is left.
    """
    variables = load_template()["Globals"]["Function"]["Environment"]["Variables"]
    names_stack = {STACK_VARIABLE: as_text(variables.get(STACK_VARIABLE, ""))}
    output = io.StringIO()
    with patch.dict("os.environ", names_stack), redirect_stdout(output):
        _check_health()
        for event in COUNTED:
            observe(event, {})
        count_first_runs()
        for name in RELEASED:
            count_failure_of(name)
    return frozenset(_without_values(read_metrics(output.getvalue().encode())))


def count_failure_of(name: str) -> None:
    """Count a failure of a function's version, with the variables that Lambda and the template give it."""
    run_as(name, count_version_failure)


def run_as(name: str, run: Callable[[], object]) -> None:
    """Run code with the variables by which Lambda and the template name a function and its version."""
    properties = load_template()["Resources"][f"{name}Function"]["Properties"]
    service = properties["Environment"]["Variables"]["POWERTOOLS_SERVICE_NAME"]
    version = f"GetAtt {name}Function.Version.Version"
    with patch.dict("os.environ", {"POWERTOOLS_SERVICE_NAME": service, "AWS_LAMBDA_FUNCTION_VERSION": version}):
        run()


def _check_health() -> None:
    dependencies = ScriptedDependencies()
    dependencies.found["database"] = replace(WRITER, server="b2")
    container = HealthContainer(Settings(service_version="v1"), dependencies.clock)
    container.__dict__["check"] = dependencies.check
    assert publish_report(container).status == "healthy"


def _without_values(found: Iterable[MetricDatum]) -> list[MetricDatum]:
    return [replace(datum, at_ms=0, values=()) for datum in found]
