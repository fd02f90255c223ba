"""Knee, bars and page of `make capacity`, on made-up turns."""

import random
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from bench.capacity.figures import LEAST_KEPT, combine_outcomes, judge_count, judge_estimate, judge_run
from bench.capacity.knee import GoodputCurve, describe_curve
from bench.capacity.page import build_files, list_terminal_rows, read_measured
from bench.capacity.processor_time import GROUPS
from bench.capacity.refusals import describe_refusals
from bench.capacity.results import build_curve, describe_levels
from bench.capacity.search import describe_searches
from bench.capacity.turns import LEVELS, MeasuredTurn
from bench.measured import describe_estimate
from stress.ledger import CallSample
from stress.scenarios.capacity_curves import LoadSearch
from tests.stress.calls import make_call, make_sample, set_times

ROUNDS = 8
PEAK = 90.0
EACH_ADDS = 2.0  # calls a second, until the peak: the knee is at 45 users


def make_curve(serve: Callable[[int], float], *, noise: float = 0.02, rounds: int = ROUNDS) -> GoodputCurve:
    """Return the curve of a service that serves so many calls a second, a little else in each turn."""
    dice = random.Random(1)
    return GoodputCurve({users: [serve(users) * dice.gauss(1, noise) for _ in range(rounds)] for users in LEVELS})


def serve_steadily(users: int) -> float:
    """Serve the peak, however many users there are."""
    return min(EACH_ADDS * users, PEAK)


def serve_until_overloaded(users: int) -> float:
    """Serve ever less beyond the knee."""
    return serve_steadily(users) * (1.0 if users <= 50 else 40 / users)


def describe(curve: GoodputCurve) -> dict[str, Any]:
    """Return what the file says of a curve."""
    return describe_curve(curve, describe_estimate)


def judge_kept_share(curve: GoodputCurve) -> str:
    """Return the outcome of what is left beyond the knee."""
    outcome: str = judge_estimate("kept", describe(curve)["kept_share"], LEAST_KEPT, "at least")["outcome"]
    return outcome


def test_a_known_knee_is_found() -> None:
    found = describe(make_curve(serve_steadily))
    assert found["knee_users"]["low"] <= 45 * 1.03
    assert found["knee_users"]["high"] >= 45 * 0.97
    assert found["knee_users"]["value"] == pytest.approx(45, rel=0.05)
    assert found["beyond_users"] == 150


def test_a_service_that_keeps_its_peak_passes() -> None:
    assert judge_kept_share(make_curve(serve_steadily)) == "PASS"


def test_a_service_that_collapses_beyond_its_knee_fails() -> None:
    assert judge_kept_share(make_curve(serve_until_overloaded)) == "FAIL"


def test_turns_that_differ_too_much_decide_nothing() -> None:
    assert judge_kept_share(make_curve(serve_steadily, noise=0.4)) == "INVALID"


def test_a_share_just_below_the_bar_does_not_pass_by_chance() -> None:
    """The truth is 0.89: of forty runs at most one may say that it is 0.9 or more."""
    passed = 0
    for seed in range(40):
        dice = random.Random(seed)
        curve = GoodputCurve(
            {
                users: [serve_steadily(users) * (0.89 if users >= 100 else 1) * dice.gauss(1, 0.05) for _ in range(8)]
                for users in LEVELS
            }
        )
        passed += judge_kept_share(curve) == "PASS"
    assert passed <= 1


def test_too_few_rounds_or_users_decide_nothing() -> None:
    assert describe(make_curve(serve_steadily, rounds=2))["knee_users"] is None
    rising = describe(make_curve(lambda users: EACH_ADDS * users))
    assert (rising["beyond_users"], rising["kept_share"]) == (None, None)
    assert judge_estimate("kept", rising["kept_share"], LEAST_KEPT, "at least")["outcome"] == "INVALID"


# refusals


def make_answer(status: int, retry_after_s: float | None = None, problem: str = "") -> CallSample:
    """Return an answer."""
    return replace(make_sample(make_call(), status, problem=problem), retry_after_s=retry_after_s)


THROTTLED = make_answer(429, 1.0, "too-many-requests")
UNAVAILABLE = make_answer(503, 1.0, "unavailable")
KEPT = {"value": 0.97, "low": 0.95, "high": 1.0}
RATIO = {"value": 2.5, "low": 2.2, "high": 2.8}


def judge(*samples: CallSample, kept: Mapping[str, float] | None = KEPT, ratio: Mapping[str, float] | None = RATIO,
          lag_ms: float = 3.0) -> list[str]:  # fmt: skip
    """Return the outcomes of a run with these answers."""
    measured = {
        "curve": {"kept_share": kept},
        "refusals": describe_refusals(samples),
        "earlier": {"commit": "0123456789ab", "ratio": ratio},
        "run": {"lag_p99_ms": lag_ms},
    }
    return [figure["outcome"] for figure in judge_run(measured)]


def test_a_run_within_all_bars_passes() -> None:
    assert judge(THROTTLED, UNAVAILABLE, make_answer(201)) == ["PASS"] * 5


@pytest.mark.parametrize("status", [429, 503])
def test_a_refusal_without_retry_after_fails(status: int) -> None:
    outcomes = judge(THROTTLED, UNAVAILABLE, make_answer(status, None, "unavailable"))
    assert outcomes[1] == "FAIL"


@pytest.mark.parametrize("status", [0, 409, 500, 502, 504])
def test_any_other_answer_fails(status: int) -> None:
    assert judge(THROTTLED, UNAVAILABLE, make_answer(status))[2] == "FAIL"


@pytest.mark.parametrize("seen", [(), (THROTTLED,), (UNAVAILABLE,)])
def test_refusals_that_nobody_saw_are_not_known_to_be_right(seen: tuple[CallSample, ...]) -> None:
    assert judge(*seen)[1] == "INVALID"


def test_what_was_not_measured_is_no_pass() -> None:
    outcomes = judge(THROTTLED, UNAVAILABLE, kept=None, ratio=None)
    assert (outcomes[0], outcomes[3]) == ("INVALID", "INVALID")


def test_a_ratio_is_judged_by_its_unfavourable_end() -> None:
    undecided, missed = {"value": 2.1, "low": 1.9, "high": 2.3}, {"value": 1.5, "low": 1.4, "high": 1.6}
    assert judge(THROTTLED, UNAVAILABLE, ratio=undecided)[3] == "INVALID"
    assert judge(THROTTLED, UNAVAILABLE, ratio=missed)[3] == "FAIL"


def test_a_generator_that_is_late_fails_the_run() -> None:
    assert judge(THROTTLED, UNAVAILABLE, lag_ms=80.0)[4] == "FAIL"


def test_the_verdict_is_the_worst_outcome() -> None:
    figures = [judge_count("a", 0), judge_count("b", 0, False), judge_count("c", 1)]
    assert [combine_outcomes(figures[:count]) for count in (1, 2, 3)] == ["PASS", "INVALID", "FAIL"]


# what is written


def make_turn(users: int, served: int, refused: int = 0) -> MeasuredTurn:
    """Return a turn with a window of one second, in which so many calls were served and refused."""
    calls = [set_times(make_answer(200), sent_s=n / 1000, done_s=n / 1000 + 0.1) for n in range(served)]
    calls += [set_times(THROTTLED, sent_s=0.1, done_s=0.2)] * refused
    late = set_times(make_answer(200), sent_s=0.9, done_s=1.1)  # after the window
    return MeasuredTurn(users, 0.0, 1.0, [*calls, late], dict.fromkeys(GROUPS, 0.5))


def test_a_level_counts_what_was_answered_within_the_window() -> None:
    rounds = [[make_turn(1, 2), make_turn(50, 80, 10)] for _ in range(3)]
    few, many = describe_levels(rounds, build_curve(rounds))
    assert many["a_second"] == {"served": 80.0, "429": 10.0, "503": 0.0, "other": 0.0}
    assert many["served"]["value"] == 80.0
    assert (many["calls"], many["refused"], many["refused_with_retry_after"]) == (273, 30, 30)
    assert many["latency_ms"]["p95"]["value"] == pytest.approx(100)
    assert many["latency_ms"]["p99"] is None, "240 calls are too few for a 99th percentile"
    assert few["latency_ms"]["p95"] is None, "6 calls are too few"
    assert many["processor_ms"]["postgres"] == pytest.approx(1500 / 273, rel=0.01), "of all calls, not of the window's"


def test_both_rates_of_a_comparison_are_of_the_same_search() -> None:
    searches = {}
    for name, capacity in (("present", 120.0), ("earlier", 50.0)):
        searches[name] = search = LoadSearch(60.0, 250.0)
        for _ in range(12):
            took_s = 0.25 * search.load / capacity
            search.note([set_times(make_answer(200), sent_s=0, done_s=took_s) for _ in range(100)])
    found = describe_searches(searches, "present", "earlier")
    assert found["ratio"]["value"] == pytest.approx(120 / 50, rel=0.2)
    assert found["ratio"]["low"] <= found["ratio"]["value"] <= found["ratio"]["high"]


def make_measured() -> dict[str, Any]:
    """Return what a run of made-up turns has measured, without a comparison."""
    rounds = [[make_turn(1, 2), make_turn(10, 20), make_turn(50, 80, 10)] for _ in range(3)]
    curve = build_curve(rounds)
    run = {"commit": "0123456789ab", "at": "2026-11-28", "seed": 1, "python": "3.13.1", "processors": 2}
    measured: dict[str, Any] = {
        "run": {**run, "members": 160, "rounds": 3, "lag_p99_ms": 2.0, "seconds": 60},
        "changed_settings": {"MailRate": "1000"},
        "levels": describe_levels(rounds, curve),
        "curve": describe_curve(curve, describe_estimate),
        "idle_processor_ms": dict.fromkeys(GROUPS, 1.0),
        "refusals": describe_refusals([THROTTLED, UNAVAILABLE]),
        "earlier": {"commit": ""},
    }
    figures = judge_run(measured)
    return {**measured, "figures": figures, "verdict": combine_outcomes(figures)}


def test_the_terminal_shows_each_number_of_users() -> None:
    rows = list(list_terminal_rows(make_measured()))
    assert [row.split()[0] for row in rows[1:-1]] == ["1", "10", "50"]


def test_the_page_says_what_was_not_decided() -> None:
    files = build_files(make_measured())
    [text] = [text for path, text in files.items() if path.suffix == ".md"]
    assert "Three times its users were not measured." in text
    assert "compared with no earlier commit" in text
    assert text.count("**INVALID**") == 3, "the verdict, what is left beyond the knee, and the ratio"


def test_every_part_of_the_page_is_filled_in() -> None:
    files = build_files(make_measured())
    assert [path.suffix for path in files] == [".md", ".svg", ".svg", ".svg"]
    assert all(not re.search(r"\{[a-z]+\}", text) for text in files.values())


def test_the_page_shows_the_kept_capacity_run() -> None:
    """Otherwise: python -m bench.capacity --page."""
    outdated = {path.name for path, text in build_files(read_measured()).items() if path.read_text("utf-8") != text}
    assert outdated == set()
