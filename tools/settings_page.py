"""Generate docs/reference/settings.md from template.yaml and the functions' settings model.

PYTHONPATH=layers/shared python -m tools.settings_page [--check]
"""

import json
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from local.template import read_template
from shared.settings import DEFAULT_CIRCUITS, DEFAULT_LIMITS, DEFAULT_RETRY, Settings
from tools.pages import REFERENCE, ROOT, format_table, write_or_check

PAGE = REFERENCE / "settings.md"
HEAD = """# Settings

Everything that can be set, generated from `template.yaml` and the settings model of the functions (`make reference`;
`make lint` checks it). How to pass parameters: [deploying](../how-to/deploy.md).

"""
PARAMETERS = """## Parameters of the stack

"""
VARIABLES = """
## Environment variables of the functions

The template sets all of them, so you don't have to. A variable that is empty counts as not set.

"""
LIMITS = """
## Limits per client

A limit is a bucket of requests that refills evenly within its period. The parameter `Limits` replaces any of them:
`{"read": [120, 60]}`.

"""
CIRCUITS = """
## Circuits

When the circuit of a service opens and what follows; times in seconds. The parameter `Circuits` changes single values:
`{"email": {"open_s": 120}}`.

"""
CIRCUIT_VALUES = {
    "failures": "failed or slow calls that count at once and open the circuit",
    "successes_per_failure": "successes after a failure that make it count no more",
    "slow_s": "a call that takes this long counts as failed",
    "window_s": "a failure stops counting after this time",
    "open_s": "the time that the circuit stays open before a probe",
    "probe_lease_s": "the time that one environment may take for its probe",
    "refresh_s": "the age up to which an environment trusts what it read of a closed circuit",
    "blind_s": "the extra time that an open circuit is believed while the state table is out of reach",
}
RETRY = """
## Retries of transactions

The n-th retry, counted from 0, waits a random time between 0 and min(`cap_s`, `base_s` × `factor`ⁿ) seconds. The
parameter `Retry` changes single values.

"""


def render() -> str:
    """Return the page."""
    template = read_template((ROOT / "template.yaml").read_text(encoding="utf-8"))
    parts = [
        HEAD,
        PARAMETERS + format_table(("Parameter", "Default", "Allowed", "What it is"), list_parameters(template)),
        VARIABLES + format_table(("Variable", "Comes from", "Without it"), list_variables(template)),
        LIMITS + format_table(("Limit", "Requests", "Seconds"), list_limits()),
        CIRCUITS + format_table(("Value", "What it is", *map(quote, DEFAULT_CIRCUITS)), list_circuit_values()),
        RETRY + format_table(("Value", "Default"), list_retry_values()),
    ]
    return "".join(parts)


def quote(value: object) -> str:
    """Return a value as code."""
    return f"`{value}`"


def list_parameters(template: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each parameter of the template."""
    for name, parameter in template["Parameters"].items():
        default = str(parameter.get("Default", "required"))
        shown = default if default == "required" else quote(default) if default else "empty"
        yield quote(name), shown, describe_allowed(parameter), parameter.get("Description", "")


def describe_allowed(parameter: Mapping[str, Any]) -> str:
    """Return which values a parameter may have, as far as the template says so."""
    if "AllowedValues" in parameter:
        return ", ".join(map(quote, parameter["AllowedValues"]))
    if "MaxValue" in parameter:
        return f"{parameter['MinValue']} to {parameter['MaxValue']}"
    if "MinValue" in parameter:
        return f"at least {parameter['MinValue']}"
    return "number" if parameter["Type"] == "Number" else ""


def list_variables(template: Mapping[str, Any]) -> Iterator[Sequence[str]]:
    """Yield a row for each field of the settings model."""
    sources: dict[str, list[str]] = defaultdict(list)
    for variable, source in find_sources(template):
        if source not in sources[variable]:
            sources[variable].append(source)
    for name, field in Settings.model_fields.items():
        found = " or ".join(sources[name.upper()]) or "Lambda, or the local cloud"
        yield quote(name.upper()), found, describe_default(field)


def describe_default(field: FieldInfo) -> str:
    """Return a field's default; a secret's is a new one each time."""
    if field.default_factory is not None and not field.repr:
        return "drawn at random"
    default = field.get_default(call_default_factory=True)
    value = default.model_dump() if isinstance(default, BaseModel) else default
    return "nothing" if value in ("", None) else quote(json.dumps(value) if isinstance(value, dict) else str(value))


def find_sources(template: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield each variable that the template sets, and where its value comes from."""
    functions = [template["Globals"]["Function"], *(each["Properties"] for each in template["Resources"].values())]
    for function in functions:
        for name, value in function.get("Environment", {}).get("Variables", {}).items():
            yield name, describe_source(value, template)


def describe_source(value: Any, template: Mapping[str, Any]) -> str:
    """Return what a variable's value refers to: a parameter, a resource, or itself."""
    names = re.findall(r"\$\{(\w+)\}|'Ref': '(\w+)'", str(value))
    found = [first or second for first, second in names]
    parameters = [f"parameter `{name}`" for name in found if name in template["Parameters"]]
    resources = [f"resource `{name}`" for name in found if name in template["Resources"]]
    return ", ".join([*parameters, *resources]) or (quote(value) if value else "the built template, by `make deploy`")


def list_limits() -> Iterator[Sequence[str]]:
    """Yield a row for each limit."""
    for name, (burst, period_s) in DEFAULT_LIMITS.items():
        yield quote(name), str(burst), f"{period_s:g}"


def list_circuit_values() -> Iterator[Sequence[str]]:
    """Yield a row for each value of a circuit's policy."""
    policies = list(DEFAULT_CIRCUITS.values())
    for field in fields(policies[0]):
        if field.name != "name":
            values = (f"{getattr(policy, field.name):g}" for policy in policies)
            yield quote(field.name), CIRCUIT_VALUES[field.name], *values


def list_retry_values() -> Iterator[Sequence[str]]:
    """Yield a row for each value of the retries."""
    for field in fields(DEFAULT_RETRY):
        yield quote(field.name), f"{getattr(DEFAULT_RETRY, field.name):g}"


if __name__ == "__main__":
    sys.exit(write_or_check(PAGE, render(), "make reference", sys.argv[1:]))
