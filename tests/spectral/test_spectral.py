"""Spectral finds nothing in the API's description, and finds each of the things that it is there for.

It needs the environment of `make spectral`.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tools.spectral import DESCRIPTION, lint

pytestmark = pytest.mark.skipif(shutil.which("npm") is None, reason="there is no npm on this machine")

# A rule, and what makes it find something: the place, and what stands there instead.
BREAKS: dict[str, tuple[tuple[str, ...], Any]] = {
    "operation-operationId-unique": (("paths", "/agents", "get", "operationId"), "claims.list"),
    "operation-description": (("paths", "/claims", "get", "description"), ""),
    "operation-tag-defined": (("paths", "/members", "get", "tags"), ["people"]),
    "oas3-valid-media-example": (
        ("paths", "/claims", "post", "responses", "201", "content", "application/json", "example", "state"),
        "lost",
    ),
    "oas3-unused-component": (("components", "schemas", "Unused"), {"type": "string"}),
    "oas3-schema": (("paths", "/claims", "get", "parameters"), "all"),
    "invalid-ref": (("paths", "/payouts", "get", "responses", "401"), {"$ref": "#/components/responses/none"}),
    "oas3-parameter-description": (("components", "parameters", "IdempotencyKey", "description"), ""),
    "typed-enum": (("components", "schemas", "Plan", "enum"), ["basic", 7]),
}


def test_the_description_has_no_finding() -> None:
    assert lint(DESCRIPTION) == []


def test_each_broken_rule_is_found(tmp_path: Path) -> None:
    """One run over a description in which everything is broken."""
    broken = json.loads(DESCRIPTION.read_text(encoding="utf-8"))
    for path, value in BREAKS.values():
        part = broken
        for name in path[:-1]:
            part = part[name]
        part[path[-1]] = value
    copy = tmp_path / "openapi.json"
    copy.write_text(json.dumps(broken), encoding="utf-8")
    assert set(BREAKS) <= {finding["code"] for finding in lint(copy)}
