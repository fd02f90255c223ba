"""A wrong call of a use case is an error of mypy's: its arguments pass the seam with their types."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import ROOT

CALLS = """
from datetime import date
from uuid import UUID

from members import service
from members.model import MemberQuery, MemberView
from shared.api.call import Call, list_page
from shared.api.responses import Answer
from shared.fields.pagination import PageQuery
from shared.outbox.audit import Actor


def answer(call: Call[PageQuery], member_id: UUID, today: date, actor: Actor) -> Answer:
    {call}
    return list_page(call, "members", MemberView, service.list_members, query=MemberQuery(), today=today)
"""
RIGHT = {
    "a write": "call.run_once(service.renew_membership, member_id, call.scope, today=today, actor=actor)",
    "a read": "call.read(service.read_member, member_id, call.scope, today=today)",
    "a list": 'list_page(call, "members", MemberView, service.list_members, '
    'query=MemberQuery(number="MEM-2026-000001"), today=today)',
}
WRONG = {
    "another type": "call.run_once(service.renew_membership, str(member_id), call.scope, today=today, actor=actor)",
    "an argument too few": "call.run_once(service.renew_membership, member_id, call.scope, today=today)",
    "an argument too many": "call.run_once(service.renew_membership, member_id, call.scope, today=today, actor=actor, "
    "reason=None)",
    "another type in a read": "call.read(service.read_member, member_id, call.sub, today=today)",
    "what is read taken for something else": "found: str = "
    "call.read(service.read_member, member_id, call.scope, today=today)",
    "an argument of a list too few": 'list_page(call, "members", MemberView, service.list_members, '
    "query=MemberQuery())",
    "a list that takes no page": 'list_page(call, "members", MemberView, service.read_member, today=today)',
    "a write that answers nothing": 'call.run_once(lambda tx: tx.run_after_commit("nudge"))',
}


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Return mypy's errors about each call, by the call's name."""
    folder = tmp_path_factory.mktemp("types")
    files = {name: folder / f"call_{n}.py" for n, name in enumerate((*RIGHT, *WRONG))}
    for name, path in files.items():
        path.write_text(CALLS.format(call={**RIGHT, **WRONG}[name]), encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *map(str, files.values())]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    lines = [line for line in done.stdout.splitlines() if ": error:" in line]
    assert len(lines) >= len(WRONG), done.stdout + done.stderr
    return {
        name: [line for line in lines if Path(line.partition(":")[0]).name == path.name] for name, path in files.items()
    }


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_call_passes(errors: dict[str, list[str]], name: str) -> None:
    """Otherwise each call might be refused for another reason."""
    assert errors[name] == []


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_call_is_refused(errors: dict[str, list[str]], name: str) -> None:
    """mypy refuses it at the seam between handler and use case, before anything runs."""
    assert errors[name]
