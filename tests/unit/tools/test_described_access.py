"""The description says who may call each operation: those whom the table of permissions answers with success."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tools.openapi.__main__ import TARGET

TABLE: dict[str, Any] = tomllib.loads(
    (Path(__file__).parents[2] / "integration/access/permissions.toml").read_text(encoding="utf-8")
)
CALLERS: list[str] = TABLE["callers"].split()
ROLES = {"nobody": "anyone", "member": "member", "agent": "agent", "staff": "staff", "admin": "admin"}
PATHS = json.loads(TARGET.read_text(encoding="utf-8"))["paths"]
OPERATIONS = [f"{method.upper()} {path}" for path, item in PATHS.items() for method in item]


def read_described(operation: str) -> set[str]:
    """Return the roles that the description names."""
    method, path = operation.split()
    who = PATHS[path][method.lower()]["description"].rpartition("\n\nWho: ")[2]
    return set(re.findall(r"anyone|member|agent|staff|admin", who))


def read_permitted(operation: str) -> set[str]:
    """Return the roles of whom at least one caller succeeds; `anyone` for callers without a token."""
    if operation in TABLE["public"]:
        return {"anyone"}
    lines = [line for row, lines in TABLE["operations"].items() if row.split()[:2] == operation.split()
             for whose, line in lines.items() if whose != "missing"]  # fmt: skip
    cells = [(caller, status) for line in lines for caller, status in zip(CALLERS, line.split(), strict=True)]
    return {ROLES[caller] for caller, status in cells if status.startswith("2") and caller in ROLES}


@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_says_truly_who_may_call_it(operation: str) -> None:
    """It names exactly the roles that may, and whether a token is needed."""
    assert read_described(operation) == read_permitted(operation)


def test_roles_that_reach_their_own_records_only_are_said_to() -> None:
    """An agent reads themselves, a member their own record and claims; staff all."""
    said = {path: PATHS[path]["get"]["description"].rpartition("Who: ")[2] for path in ("/agents/{agent_id}",
            "/members/{member_id}", "/claims/{claim_id}", "/claims")}  # fmt: skip
    assert said == {
        "/agents/{agent_id}": "admin, staff, agent for their own.",
        "/members/{member_id}": "admin, staff, member for their own.",
        "/claims/{claim_id}": "admin, staff, member for their own.",
        "/claims": "admin, staff, member for their own.",
    }
