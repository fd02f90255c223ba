"""The description as the clients' generators read it, and the clients' own list of changes on a condition."""

import json
from pathlib import Path
from typing import Any

import pytest

from interdomestik_client.versions import find_changed_record
from tools.clients.description import FILLED_IN, adapt_description
from tools.openapi.__main__ import TARGET

DESCRIPTION: dict[str, Any] = json.loads(Path(TARGET).read_text(encoding="utf-8"))
WRITES = [
    (method.upper(), path, operation)
    for path, item in DESCRIPTION["paths"].items()
    for method, operation in item.items()
    if method != "get"
]


def list_headers(operation: dict[str, Any]) -> dict[str, bool]:
    """Return the headers of an operation, and whether each is required."""
    shared = {
        f"#/components/parameters/{name}": p for name, p in DESCRIPTION["components"].get("parameters", {}).items()
    }
    listed = [shared.get(p.get("$ref"), p) for p in operation["parameters"]]
    return {p["name"]: p["required"] for p in listed if p["in"] == "header"}


def test_no_caller_has_to_fill_in_what_the_clients_fill_in() -> None:
    adapted = adapt_description(DESCRIPTION)
    everything = json.dumps(adapted)
    parameters = [p for item in adapted["paths"].values() for o in item.values() for p in o["parameters"]]
    parameters += adapted["components"].get("parameters", {}).values()
    required = [p["name"] for p in parameters if p.get("name") in FILLED_IN and p["required"]]
    assert required == []
    assert all(name in everything for name in FILLED_IN)
    assert adapted != DESCRIPTION


@pytest.mark.parametrize(("method", "path", "operation"), WRITES, ids=lambda value: str(value)[:40])
def test_the_clients_know_every_change_on_a_condition(method: str, path: str, operation: dict[str, Any]) -> None:
    """A change that needs If-Match is of the record that its path names; no other call gets one."""
    needs = list_headers(operation).get("If-Match", False)
    assert (find_changed_record(method, path.replace("{", "").replace("}", "")) is not None) == needs
