"""The checks that scenarios share: of nothing nothing follows, and answers are the same only byte for byte."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiohttp import web

from stress.ledger import CallSample
from stress.limits import ObservedLimit
from stress.reconciliation import list_expected_documents
from stress.scenario_context import LocalScenarioContext
from stress.scenarios import pool_sessions, shared_steps
from stress.scenarios.claim_documents import BEGINNINGS, SIZES, make_file
from stress.scenarios.pool_sessions import count_turned_away
from tests.stress.calls import make_call, make_sample, set_times
from tests.stress.servers import run_setup
from tests.stress.test_scenario_context import make_context

LIMIT = ObservedLimit(2, 60)
BODY = '{"a":1}'


@pytest.mark.parametrize(("statuses", "holds"), [((), False), ((201, 201), False), ((201, 201, 429), True)])
def test_a_limit_that_nobody_reached_is_not_shown(statuses: tuple[int, ...], holds: bool) -> None:
    """No call was wrongly accepted or refused; that there were enough is part of both checks."""
    context = make_context()
    shared_steps.judge_limit(context, [make_sample(make_call(), status) for status in statuses], LIMIT)
    assert [check.passed for check in context.checks] == [holds, holds]


def test_files_differ_in_all_that_can_be_mixed_up() -> None:
    """Of every size and type; the least is one byte, and no two have the same content or name."""
    files = [make_file(number) for number in range(len(SIZES))]
    assert [len(file.content) for file in files] == list(SIZES)
    assert {file.content_type for file in files} == set(BEGINNINGS)
    assert len({file.content for file in files}) == len({file.name for file in files}) == len(files)
    assert make_file(3) == make_file(3)
    for file in files:
        extension, beginning = BEGINNINGS[file.content_type]
        assert file.content.startswith(beginning)
        assert file.name.endswith(extension)


def make_document_sample(operation: str, status: int, **changes: Any) -> CallSample:
    """Return a call about the document `d`, and its answer."""
    path = "/claims/c/documents" + ("" if operation == "announce" else "/d")
    made = make_call(operation, path=path, facts={"claim": "c"}, **changes)
    record: dict[str, Any] = {"id": "d", "size": 5} if status in (200, 201) else {}
    return make_sample(made, status, **record)


def test_a_removed_document_is_expected_to_be_removed() -> None:
    """Whatever was answered about it at the same time; one whose removal was refused is as it was."""
    announced, completed = make_document_sample("announce", 201), make_document_sample("complete", 200)
    removed, refused = (make_document_sample("remove", status, method="DELETE") for status in (204, 409))
    assert list_expected_documents([announced, removed, completed], {}) == {"d": "removed 5"}
    assert list_expected_documents([announced, completed, refused], {}) == {"d": "available 5"}


def test_a_call_that_waited_too_long_was_turned_away() -> None:
    """Its function tried again, so that the client sees nothing of it but the time."""
    quick = set_times(make_sample(make_call(), 201), sent_s=0, done_s=9)
    slow = set_times(make_sample(make_call(), 201), sent_s=0, done_s=10.2)
    assert count_turned_away([quick, slow, make_sample(make_call(), 503)], 10) == 2


@pytest.mark.parametrize(
    ("other", "is_same"),
    [
        (lambda: web.Response(text=BODY, content_type="application/json"), True),
        (lambda: web.Response(text='{"a": 1}', content_type="application/json"), False),
        (lambda: web.Response(text=BODY, content_type="application/json", status=201), False),
        (lambda: web.Response(text=BODY, content_type="text/plain"), False),
        (lambda: web.Response(text=BODY, content_type="application/json", headers={"ETag": '"2"'}), False),
    ],
)
def test_only_the_same_bytes_and_headers_are_the_same_answer(other: Callable[[], web.Response], is_same: bool) -> None:
    """The same JSON written otherwise is another answer."""

    async def send_twice() -> list[str]:
        answers = [web.Response(text=BODY, content_type="application/json"), other()]
        async with run_setup(lambda _: answers.pop(0)) as setup:
            return [(await setup.generator.send(make_call())).fingerprint for _ in range(2)]

    first, second = asyncio.run(send_twice())
    assert first
    assert (first == second) is is_same


def test_refusals_are_counted_by_the_server_s_own_lines(tmp_path: Path) -> None:
    """Only those for want of a place; the line is what PostgreSQL 17 writes with the local cloud's prefix."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs/postgres.log").write_text(
        '2026-11-27 08:00:00.000 UTC [11] 53300 FATAL:  too many connections for role "interdomestik_jobs"\n'
        "2026-11-27 08:00:00.000 UTC [12] 57P01 FATAL:  terminating connection due to administrator command\n"
    )
    context = cast("LocalScenarioContext", SimpleNamespace(target=SimpleNamespace(folder=tmp_path)))
    assert pool_sessions.count_logged_refusals(context) == 1
