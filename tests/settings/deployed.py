"""The deployed settings, read from the template, the code's constants and the mails' priorities."""

import ast
import importlib
import re
from collections.abc import Iterator, Mapping
from functools import cache
from inspect import signature
from pathlib import Path
from typing import Any

from local.template import read_template
from shared.outbox.jobs import make_mail_job
from tests.packages import PACKAGES
from tests.services import ROOT

Value = int | float | str
# Calls whose results count as numbers, though the constant is not written as one.
MAKERS = frozenset({"timedelta", "Decimal", "Backoff", "date"})
_SCHEDULE = re.compile(r"(rate|cron)\(")
_MAIL_IN_SQL = re.compile(r"'(\w+)' AS priority,\s*(.*?) AS template", re.DOTALL)
_SELECTED = re.compile(r"(?:^|THEN|ELSE)\s*'([a-z0-9-]+)'")


@cache
def load_template() -> dict[str, Any]:
    """Return template.yaml with its short tags written out; to be read, not changed."""
    return read_template((ROOT / "template.yaml").read_text(encoding="utf-8"))


@cache
def load_database_template() -> dict[str, Any]:
    """Return the template that is nested in it, in the same way."""
    return read_template((ROOT / "templates/database.yaml").read_text(encoding="utf-8"))


def list_template_values(document: Mapping[str, Any]) -> dict[str, Value]:
    """Return each number, switch and schedule of the globals and the resources, by its place.

    Without what the gateway answers by itself: its statuses and texts belong to the catalogue of problems.
    """
    found: dict[str, Value] = {}
    for name, resource in {"Globals": document.get("Globals", {}), **document["Resources"]}.items():
        found |= {f"{name}/{place.removeprefix('Properties/')}": value for place, value in _list_leaves(resource)}
    return {place: value for place, value in found.items() if "/GatewayResponses/" not in place}


def _list_leaves(node: Any, place: str = "") -> Iterator[tuple[str, Value]]:
    if isinstance(node, dict | list):
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            yield from _list_leaves(item, f"{place}/{key}" if place else str(key))
    elif isinstance(node, int | float) or (isinstance(node, str) and _SCHEDULE.match(node)):
        yield place, node


@cache
def list_constants() -> tuple[str, ...]:
    """Return the name of each constant of the functions and the layer that holds a number, as `module:NAME`."""
    return tuple(
        f"{module}:{name}"
        for package in PACKAGES
        for path in sorted(package.rglob("*.py"))
        for module in [".".join(path.relative_to(package).with_suffix("").parts).removesuffix(".__init__")]
        for name in _list_numbers(path)
    )


def _list_numbers(path: Path) -> Iterator[str]:
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        if name.isupper() and _is_number(value):
            yield name


def _is_number(node: ast.expr | None) -> bool:
    match node:
        case ast.Constant(value=value):
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ast.BinOp(left=left, right=right):
            return _is_number(left) or _is_number(right)
        case ast.UnaryOp(operand=operand):
            return _is_number(operand)
        case ast.Call(func=ast.Name(id=name)):
            return name in MAKERS
        case ast.Dict(values=values):
            return any(map(_is_number, values))
    return False


def read_constant(name: str) -> Any:
    """Return the value of a constant that is named `module:NAME`."""
    module, _, attribute = name.partition(":")
    return getattr(importlib.import_module(module), attribute)


def list_mail_priorities() -> dict[str, str]:
    """Return the priority of each mail that the functions' code or SQL writes to the outbox, by its template."""
    found: dict[str, str] = {}
    for package in PACKAGES:
        for path in sorted(package.rglob("*.py")):
            found |= dict(_list_mails_of_code(path))
        for path in sorted(package.rglob("*.sql")):
            found |= dict(_list_mails_of_sql(path))
    return found


def _list_mails_of_code(path: Path) -> Iterator[tuple[str, str]]:
    usual = signature(make_mail_job).parameters["priority"].default
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Call(func=ast.Name(id="make_mail_job"), args=[ast.Constant(value=str(name))], keywords=keywords):
                named = [k.value.value for k in keywords if k.arg == "priority" and isinstance(k.value, ast.Constant)]
                yield name, str(named[0] if named else usual)


def _list_mails_of_sql(path: Path) -> Iterator[tuple[str, str]]:
    for priority, templates in _MAIL_IN_SQL.findall(path.read_text(encoding="utf-8")):
        for name in _SELECTED.findall(templates):
            yield name, priority
