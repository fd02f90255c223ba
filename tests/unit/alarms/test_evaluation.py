"""Alarms are judged as AWS documents it, by the tables of "Configuring how CloudWatch alarms treat missing data"."""

import pytest

from local.alarms import (
    EXTRA_PERIODS,
    Missing,
    Rule,
    State,
    build_rule,
    compute_statistic,
    judge,
    judge_points,
    summarise,
)

WORDS: dict[str, State] = {"alarm": "ALARM", "ok": "OK", "nothing": "INSUFFICIENT_DATA", "retain": "ALARM"}
POINTS = {"0": False, "X": True, "-": None}
# Points, the oldest first; then the state where missing ones count as missing, ignore, breaching, notBreaching.
THREE_OF_THREE = """
0 - X - X | ok      ok     ok    ok
0 - - - - | ok      ok     ok    ok
- - - - - | nothing retain alarm ok
0 X X - X | alarm   alarm  alarm alarm
- - X - - | alarm   retain alarm ok
"""
TWO_OF_THREE = """
0 - X - X | alarm alarm  alarm alarm
0 0 X 0 X | alarm alarm  alarm alarm
0 - X - - | ok    ok     alarm ok
- - - - 0 | ok    ok     alarm ok
- - - X - | alarm retain alarm ok
"""
KINDS: tuple[Missing, ...] = ("missing", "ignore", "breaching", "notBreaching")
CASES = [
    (needed, points.strip(), missing, word)
    for needed, table in ((3, THREE_OF_THREE), (2, TWO_OF_THREE))
    for line in table.strip().splitlines()
    for points, words in [line.split("|")]
    for missing, word in zip(KINDS, words.split(), strict=True)
]


def make_rule(**changes: object) -> Rule:
    """Return a rule: the maximum of a minute is at least 1, in 3 of 3."""
    usual = {
        "statistic": "Maximum",
        "period_s": 60,
        "needed": 3,
        "of": 3,
        "threshold": 1,
        "comparison": "GreaterThanOrEqualToThreshold",
    }
    return Rule(**{**usual, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(("needed", "points", "missing", "word"), CASES)
@pytest.mark.parametrize("before", ["OK", "ALARM"])
def test_each_row_of_awss_tables(needed: int, points: str, missing: Missing, word: str, before: State) -> None:
    """Five periods looked at, three judged."""
    looked_at = [POINTS[each] for each in points.split()]
    assert len(looked_at) == 3 + EXTRA_PERIODS
    wanted = before if word == "retain" else WORDS[word]
    assert judge_points(looked_at, make_rule(needed=needed, missing=missing), before) == wanted


@pytest.mark.parametrize("points", ["- - - - X", "- - - X -"])
def test_one_bad_point_after_silence_is_no_alarm_yet(points: str) -> None:
    """The next one may be good."""
    looked_at = [POINTS[each] for each in points.split()]
    assert judge_points(looked_at, make_rule(missing="missing"), "OK") == "OK"


def test_silence_where_it_is_breaching_rings_when_few_good_points_are_left() -> None:
    """The good ones before it count for as long as they are looked at: two of three ring after four silent minutes."""
    silence = make_rule(needed=2, missing="breaching")
    reports = [(60.0 * minute, 0.0) for minute in range(10)]
    states = [judge(silence, reports, now=60.0 * minute, state="OK") for minute in range(10, 16)]
    assert states == ["OK", "OK", "OK", "OK", "ALARM", "ALARM"]


def test_a_period_counts_once_it_is_over() -> None:
    """Values of the present minute are judged after it."""
    assert summarise(make_rule(of=1), [(0.0, 1.0), (61.0, 2.0), (119.0, 3.0)], now=119.0) == [None, None, 1.0]
    assert summarise(make_rule(of=1), [(0.0, 1.0), (61.0, 2.0), (119.0, 3.0)], now=120.0) == [None, 1.0, 3.0]


@pytest.mark.parametrize(
    ("statistic", "wanted"),
    [("Sum", 10), ("Average", 2.5), ("Maximum", 4), ("Minimum", 1), ("SampleCount", 4), ("p50", 2.5), ("p99", 3.97)],
)
def test_a_periods_statistic(statistic: str, wanted: float) -> None:
    """The values are 4, 1, 3 and 2."""
    assert compute_statistic(statistic, [4.0, 1.0, 3.0, 2.0]) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("comparison", "rings_at"),
    [
        ("GreaterThanThreshold", [2.0]),
        ("GreaterThanOrEqualToThreshold", [1.0, 2.0]),
        ("LessThanThreshold", [0.0]),
        ("LessThanOrEqualToThreshold", [0.0, 1.0]),
    ],
)
def test_a_threshold_is_compared_as_the_alarm_says(comparison: str, rings_at: list[float]) -> None:
    """The threshold is 1, the values are 0, 1 and 2."""
    assert [value for value in (0.0, 1.0, 2.0) if make_rule(comparison=comparison).is_breached_by(value)] == rings_at


def test_what_is_no_statistic_and_no_comparison_is_refused() -> None:
    """A misspelt word would otherwise never ring."""
    with pytest.raises(ValueError, match="Summ"):
        compute_statistic("Summ", [1.0])
    with pytest.raises(ValueError, match="Equal"):
        make_rule(comparison="Equal").is_breached_by(1.0)


def test_a_rule_is_read_from_a_templates_alarm() -> None:
    """If DatapointsToAlarm is left out, all periods have to breach, and silence is missing data."""
    least = {
        "ExtendedStatistic": "p99",
        "Period": 60,
        "EvaluationPeriods": 3,
        "Threshold": 0.5,
        "ComparisonOperator": "GreaterThanThreshold",
    }
    wanted = make_rule(statistic="p99", threshold=0.5, comparison="GreaterThanThreshold")
    assert build_rule(least) == wanted
    assert build_rule({**least, "Statistic": "Average"}) == wanted, "as the emulator describes an alarm on a percentile"
    more = build_rule({**least, "DatapointsToAlarm": 2, "TreatMissingData": "ignore"})
    assert (more.needed, more.missing) == (2, "ignore")
