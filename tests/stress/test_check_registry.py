"""Every check of the harness says what would make it fail, and names a control that there is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from stress.check_registry import COMMON, REMOTE, CheckEntry, CheckRegistry, InvalidEntry, UnknownCheck, load_registry
from stress.control_record import ControlRecord
from stress.controls.guarded_code import GuardedCode
from stress.controls.model import FILE, read_controls
from stress.controls.records import read_records
from stress.run import SCENARIOS
from tests.services import ROOT
from tests.stress.calls import make_call, make_sample
from tests.stress.check_names import CheckName, UnreadableName, read_module
from tests.stress.test_scenario_context import make_context

REGISTRY = load_registry()
# The modules beside a scenario's own that make its checks.
MODULES = {
    **{key: [f"scenarios/{key}"] for key in SCENARIOS},
    "pool": ["scenarios/pool", "scenarios/pool_connections"],
    "agents": ["scenarios/agents", "scenarios/agent_earnings"],
    "claims": ["scenarios/claims", "scenarios/claim_documents"],
    "health": ["scenarios/health", "scenarios/failover"],
    "capacity": ["scenarios/capacity", "scenarios/comparison"],
    COMMON: ["scenario_context", "run", "scenarios/shared_steps"],
    REMOTE: ["remote_target"],
}
KEPT = ROOT / "measurements/readiness/report.json"


def list_names(key: str) -> list[CheckName]:
    """Return the names of the checks that a scenario's modules make."""
    modules = [read_module(ROOT / f"stress/{name}.py") for name in MODULES[key]]
    return [name for module in modules for name in module.list_check_names()]


def _is_entry_of(entry: CheckEntry, name: CheckName) -> bool:
    return any(entry.is_for(check) and name.is_for(check) for check in (entry.name, *name.examples))


def has_turned_red(result: ControlRecord, entry: CheckEntry) -> bool:
    """Return whether a control has turned the check of an entry red."""
    return any(entry.is_for(check) for check in (result.red, *result.others))


def is_known(key: str, check: str) -> bool:
    """Return whether a check has an entry."""
    try:
        REGISTRY.find(key, check)
    except UnknownCheck:
        return False
    return True


@pytest.mark.parametrize("key", MODULES)
def test_every_check_of_the_code_has_an_entry(key: str) -> None:
    """A name that is computed has one for one of its examples at least."""
    names = list_names(key)
    assert names
    assert [name for name in names if not any(is_known(key, example) for example in name.examples)] == []


@pytest.mark.parametrize("key", MODULES)
def test_every_entry_is_that_of_a_check_which_the_code_makes(key: str) -> None:
    """An entry that nobody uses promises what is not checked. The context makes one check of its own accord."""
    names = list_names(key)
    own = {"Each check says what would make it fail"} if key == COMMON else set()
    unused = [
        entry.name or entry.pattern
        for entry in REGISTRY.entries.get(key, ())
        if not any(_is_entry_of(entry, name) for name in names)
    ]
    assert [name for name in unused if name not in own] == []


def test_each_scenario_has_a_file_and_no_other_file_is_there() -> None:
    """A scenario that was renamed takes its entries along."""
    assert set(REGISTRY.entries) == set(MODULES)


def test_every_control_that_an_entry_names_is_there() -> None:
    """A control that was renamed or removed would leave its check without one."""
    controls = {control.name for control in read_controls(FILE.read_text(encoding="utf-8"))}
    named = {entry.control for entries in REGISTRY.entries.values() for entry in entries if entry.control}
    assert named - controls == set()


def test_an_entry_names_only_a_control_that_has_turned_its_check_red() -> None:
    """By the control's last result, unless the control was written otherwise since: others that turned red are kept."""
    controls = {control.name: control for control in read_controls(FILE.read_text(encoding="utf-8"))}
    code = GuardedCode(ROOT)
    results = {
        name: found
        for name, found in read_records(ROOT).items()
        if name in controls and found.detected and found.guards["control"] == code.describe(controls[name])["control"]
    }
    named = [entry for entries in REGISTRY.entries.values() for entry in entries if entry.control in results]
    assert [entry for entry in named if not has_turned_red(results[entry.control], entry)] == []


def test_a_control_that_an_entry_names_runs_the_entry_s_scenario() -> None:
    """Another scenario may have a check of the same name; what turned that one red says nothing about this one."""
    scenarios = {control.name: control.scenario for control in read_controls(FILE.read_text(encoding="utf-8"))}
    strange = [
        (key, entry.name or entry.pattern)
        for key, entries in REGISTRY.entries.items()
        for entry in entries
        if key != COMMON and entry.control and scenarios[entry.control] != key
    ]
    assert strange == []


def test_a_check_by_which_a_control_is_detected_names_a_control() -> None:
    """An entry that says "none yet" of a check that a control must turn red hides what is known of it."""
    controls = read_controls(FILE.read_text(encoding="utf-8"))
    silent = [
        entry.name
        for control in controls
        for entry in REGISTRY.entries[control.scenario]
        if control.expect and control.expect.casefold() in entry.name.casefold() and not entry.control
    ]
    assert silent == []


def test_every_check_of_the_kept_run_has_an_entry() -> None:
    """A run whose checks have other names since shows what nobody can look up."""
    results = json.loads(KEPT.read_text(encoding="utf-8"))["results"]
    checks = {(result["key"], check["name"]) for result in results for check in result["checks"]}
    unknown = {(key, name) for key, name in checks if not is_known(key, name)}
    assert {each for each in unknown if each[0] in REGISTRY.entries} == set()


def test_a_check_takes_over_what_its_entry_says() -> None:
    """The report shows both."""
    context = make_context(make_sample(make_call(), 201))
    entry = CheckEntry("It can break.", control="retry-off", name="One is one")
    context.registry = CheckRegistry({"claims": (entry,)})
    context.check_equal("One is one", 1, 1)
    assert (context.checks[0].fails_if, context.checks[0].control) == ("It can break.", "retry-off")


def test_a_check_without_an_entry_makes_its_scenario_invalid_and_is_named() -> None:
    """However well it holds."""
    context = make_context(make_sample(make_call(), 201))
    context.reconciliation.compare("rows", "one", 1, 1)
    context.registry = replace(REGISTRY, entries={COMMON: REGISTRY.entries[COMMON]})
    context.check_equal("One is one", 1, 1)
    result = context.build_result()
    assert result.status == "INVALID"
    assert [check.found for check in result.checks if check.undecided] == ["claims: One is one"]


def test_a_common_entry_is_for_every_scenario_and_no_other_scenario_s_is() -> None:
    """A name may mean different things."""
    registry = CheckRegistry({"common": (CheckEntry("A.", name="a"),), "health": (CheckEntry("B.", pattern="b+"),)})
    assert registry.find("agents", "a").fails_if == "A."
    assert registry.find("health", "bbb").fails_if == "B."
    for key, name in (("agents", "bbb"), ("health", "bbba")):
        with pytest.raises(UnknownCheck, match=f"{key}: {name}"):
            registry.find(key, name)


@pytest.mark.parametrize(
    "text",
    [
        'name = "a"\nfails_if = "no sentence"',
        'fails_if = "Nothing is named."',
        'name = "a"\npattern = "a"\nfails_if = "Two are named."',
        'name = "a"\nfails_if = "A key that nobody reads."\ncontrols = "retry-off"',
        'name = "a"',
    ],
)
def test_an_entry_that_is_not_written_properly_is_refused(text: str, tmp_path: Path) -> None:
    """Otherwise it would say nothing, or be for nothing."""
    (tmp_path / "agents.toml").write_text(f"[[check]]\n{text}\n")
    with pytest.raises(InvalidEntry):
        load_registry(tmp_path)


def test_a_name_is_read_from_a_literal_a_variable_a_parameter_and_a_table(tmp_path: Path) -> None:
    """Those are the forms in which scenarios write them."""
    path = tmp_path / "scenario.py"
    path.write_text(
        'PROMISES = {"e": 1}\n'
        "def run(context):\n"
        "    context.check('a', holds=True)\n"
        "    name = f'b {1} c'\n"
        "    context.check_equal(name, 1, 1)\n"
        "    _help(context, 'd')\n"
        "    for name_, _ in PROMISES.items():\n"
        "        context.check_at_most(name_, 1, 1)\n"
        "def _help(context, name):\n"
        "    context.check_statuses(name, {}, [])\n"
    )
    found = [name.examples[0] for name in read_module(path).list_check_names()]
    assert sorted(found) == ["a", "b 10 c", "d", "e"]
    path.write_text("def run(context):\n    context.check(make_name(), holds=True)\n")
    with pytest.raises(UnreadableName, match=r"scenario\.py:2"):
        list(read_module(path).list_check_names())
