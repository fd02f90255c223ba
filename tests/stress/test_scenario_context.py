"""The result that a scenario's context makes of the calls sent and the checks asserted."""

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stress.call_factory import CallFactory
from stress.estimates import estimate_percentile
from stress.ledger import CallLedger, CallSample
from stress.load_generator import LoadGenerator, RunClock
from stress.model import Estimate, Figure
from stress.processes import find_free_port
from stress.profiles import CONTROL
from stress.reconciliation import ReconciliationLog
from stress.scenario_context import LocalScenarioContext
from tests.stress.calls import make_call, make_sample, set_times

ANSWERS = "No call was answered otherwise than it should be"


def make_context(*samples: CallSample) -> LocalScenarioContext:
    """Return a context of the scenario `claims` in which these calls were made."""
    ledger, nowhere = CallLedger(list(samples)), cast("Any", SimpleNamespace())
    generator = LoadGenerator("http://127.0.0.1:9", ledger, RunClock(), lambda _: None).copy_for_scenario("claims")
    return LocalScenarioContext(
        key="claims",
        title="Claims",
        promise="None is lost.",
        profile=CONTROL,
        generator=generator,
        call_factory=CallFactory(1),
        ledger=ledger,
        progress=nowhere,
        target=nowhere,
        fixtures=nowhere,
        monitor=nowhere,
        faults=nowhere,
        root=Path(),
        state=Path(),
    )


@pytest.fixture
def context() -> LocalScenarioContext:
    """Return a context with one good answer and one check that holds."""
    context = make_context(make_sample(make_call(), 201))
    context.check_equal("One was made", 1, 1)
    context.reconciliation.compare("rows", "one", 1, 1)
    return context


def test_a_scenario_in_which_all_holds_passes(context: LocalScenarioContext) -> None:
    """The check of all answers is added to its own."""
    result = context.build_result()
    assert (result.status, [(c.name, c.passed) for c in result.checks]) == (
        "PASS",
        [("One was made", True), (ANSWERS, True)],
    )


def test_an_answer_that_was_not_wanted_fails_it_though_nothing_else_looks(context: LocalScenarioContext) -> None:
    """It is listed by operation and problem."""
    context.ledger.note(make_sample(make_call("claim"), 500, problem="internal"))
    result = context.build_result()
    assert result.status == "FAIL"
    assert [c.found for c in result.checks if not c.passed] == ["1 × claim: 500 internal"]
    assert result.answers == {"201": 1, "500 internal": 1}


def test_an_answer_is_judged_by_what_its_call_wanted(context: LocalScenarioContext) -> None:
    """A refusal that was meant is none of the wrong ones; an acceptance in its place is."""
    context.ledger.note(make_sample(make_call("claim", wanted=(429,)), 429, problem="too-many-requests"))
    assert context.build_result().status == "PASS"
    context.ledger.note(make_sample(make_call("claim", wanted=(429,)), 201))
    assert context.build_result().status == "FAIL"


def test_calls_of_another_scenario_are_not_its_own() -> None:
    """They add no sample to it and no unexpected answer."""
    context = make_context(make_sample(make_call(), 201))
    context.generator, context.key = context.generator.copy_for_scenario("agents"), "agents"
    context.check_equal("One is one", 1, 1)
    result = context.build_result()
    assert (result.samples, result.answers, result.lag) == (0, {}, None)


@pytest.mark.parametrize("samples", [[], [make_sample(make_call(), 201)] * 3])
def test_a_scenario_that_asserts_nothing_is_invalid(samples: list[CallSample]) -> None:
    """Good answers alone keep no promise."""
    assert make_context(*samples).build_result().status == "INVALID"


def test_a_wrong_answer_fails_a_scenario_that_asserts_nothing() -> None:
    """It is known to be wrong."""
    assert make_context(make_sample(make_call(), 500)).build_result().status == "FAIL"


def test_a_scenario_short_of_samples_is_invalid(context: LocalScenarioContext) -> None:
    """The report shows how many it takes and how many it has."""
    context.samples_wanted += 2
    result = context.build_result()
    assert (result.status, result.samples, result.samples_wanted) == ("INVALID", 1, 2)
    context.ledger.note(make_sample(make_call(), 201))
    assert context.build_result().status == "PASS"


def test_each_call_of_a_burst_is_a_sample_that_it_takes() -> None:
    """A call counts whether it was answered or not: one that the ledger lost is missed."""
    context = make_context()
    context.generator.api = f"http://127.0.0.1:{find_free_port()}"

    async def send_burst() -> None:
        context.check_equal(
            "Nobody is there", 2, len(await context.send_burst([make_call(wanted=(0,)), make_call(wanted=(0,))]))
        )
        await context.generator.close()

    asyncio.run(send_burst())
    found = context.build_result()
    assert (found.samples, found.samples_wanted) == (2, 2)
    context.ledger.samples.pop()
    assert context.build_result().status == "INVALID"


def test_a_late_generator_makes_it_invalid(context: LocalScenarioContext) -> None:
    """Sent 51 ms after it was meant."""
    late = make_sample(make_call(), 201)
    context.ledger.samples = [CallSample("claims", late.call, 0.0, 0.051, 0.06, 201)]
    result = context.build_result()
    assert result.lag is not None
    assert (result.status, round(result.lag.p99)) == ("INVALID", 51)


def test_a_difference_fails_it(context: LocalScenarioContext) -> None:
    """It fails although every check holds."""
    context.reconciliation.compare("claims", "id", 1, 0)
    assert context.build_result().status == "FAIL"


def test_a_check_is_kept_as_it_came_out() -> None:
    """Each of the four ways to assert, holding and not."""
    context = make_context()
    said = [context.check("c", holds=False, wanted="a", found="b"), context.check_equal("e", 2, 3)]
    said += [
        context.check_at_most("m", 2, 2.0, "s"),
        context.check_at_most("m", 2, 2.01, "s"),
        context.check_at_least("l", 2, 2),
        context.check_at_least("l", 2, 1.99),
    ]
    assert said == [False, False, True, False, True, False]
    assert [check.passed for check in context.checks] == said
    assert (context.checks[2].wanted, context.checks[3].found) == ("≤ 2 s", "2.01 s")


def test_latencies_are_of_the_accepted_calls_and_by_operation() -> None:
    """Refusals are fast, and would flatter."""
    slow = [set_times(make_sample(make_call("claim"), 201), sent_s=0, done_s=0.4) for _ in range(6)]
    refused = [set_times(make_sample(make_call("claim"), 429), sent_s=0, done_s=0.001) for _ in range(9)]
    other = set_times(make_sample(make_call("register"), 200), sent_s=0, done_s=0.1)
    found = {each.operation: each for each in make_context(*slow, *refused, other).build_result().latencies}
    assert {name: (each.calls, round(each.most)) for name, each in found.items()} == {
        "claim": (6, 400),
        "register": (1, 100),
    }
    assert found["claim"].p50 == pytest.approx(400)
    assert (found["claim"].p90, found["register"].p50) == (None, None)


def test_checks_of_samples_are_kept_with_their_evidence() -> None:
    """One of each kind, in one context; what its interval leaves open makes the scenario INVALID."""
    samples = [set_times(make_sample(make_call("claim"), 201), sent_s=0, done_s=n / 1000) for n in range(1, 101)]
    context = make_context(*samples)
    context.reconciliation.compare("rows", "one", 1, 1)
    said = [
        context.check_statuses("all", {201: 100}, samples),
        context.check_share_at_most("share", 0.05, samples[:0], samples),
        context.check_share_at_least("share", 0.9, samples, samples),
        context.check_percentile_at_most("p50", 0.5, 70, samples),
        context.check_ratio_at_most("ratio", 2, samples, samples, 0.5),
        context.check_ratio_at_least("ratio", 0.5, samples, samples, 0.5),
    ]
    assert said == [True] * 6
    assert [each.evidence.samples for each in context.checks if each.evidence] == ["1-100"] * 6
    assert context.build_result().status == "PASS"
    assert not context.check_percentile_at_most("p50", 0.5, 50, samples)
    assert context.build_result().status == "INVALID"
    assert not context.check_percentile_at_most("p50", 0.5, 10, samples)
    assert context.build_result().status == "FAIL"


def test_a_figure_of_too_few_samples_is_a_note_instead() -> None:
    """Its name and how many it needs are said; a figure of enough has its interval."""
    context = make_context()
    context.record_estimate("p95", estimate_percentile([1.0] * 71, 0.95), "ms")
    context.record_estimate("p50", estimate_percentile([1.0, 2.0, 3.0] * 4, 0.5), "ms", "of twelve")
    assert context.notes == ["p95: not shown, as 71 samples are fewer than the 72 it needs."]
    assert context.figures == [Figure("p50", 2, "ms", "of twelve", Estimate(2, 1, 3, 12))]


def test_of_many_differences_the_first_are_listed_and_the_rest_is_counted() -> None:
    """Nothing of it gets lost."""
    log = ReconciliationLog()
    for nth in range(60):
        log.compare("claims", str(nth), 1, nth % 2)
        log.compare("mails", str(nth), 1, 0)
    found = log.summarise()
    assert found.compared == {"claims": 60, "mails": 60}
    assert (len(found.differences), found.more_differences) == (50, 40)
