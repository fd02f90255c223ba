"""The choice of the controls of a run: those that are named, all, or the tenth whose turn it is, as time allows."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median

from stress.controls.model import NegativeControl
from stress.git_reader import read_git

TENTHS = 10
DAY_S = 86_400


def choose_controls(controls: Sequence[NegativeControl], only: Sequence[str]) -> list[NegativeControl]:
    """Return the controls of these names, all if none is named. Raise SystemExit for an unknown name."""
    names = [control.name for control in controls]
    if unknown := [name for name in only if name not in names]:
        raise SystemExit(f"no such control: {', '.join(unknown)}; there are: {', '.join(names)}")
    return [control for control in controls if not only or control.name in only]


def choose_tenth(controls: Sequence[NegativeControl], turn: int) -> list[NegativeControl]:
    """Return a tenth of the controls: ten consecutive turns have each of them once.

    Controls of one scenario are in the same tenth, as far as that goes, since each scenario of a tenth has to be green
    on the unbroken system first. Every ten turns another control of the tenth is its first, so that none is always the
    one for which there is no time left.
    """
    ordered = sorted(controls, key=lambda control: control.scenario)
    tenth = turn % TENTHS
    chosen = ordered[tenth * len(ordered) // TENTHS : (tenth + 1) * len(ordered) // TENTHS]
    first = turn // TENTHS % max(1, len(chosen))
    return chosen[first:] + chosen[:first]


def find_turn(root: Path) -> int:
    """Return the number of this commit's turn: how many changes the branch has had; each is one, merges too.

    Where git does not know all of them, in a shallow clone, the days since 1970 take their place.
    """
    if read_git(root, "rev-parse", "--is-shallow-repository") == "false":
        return int(read_git(root, "rev-list", "--count", "--first-parent", "HEAD") or 0)
    return int(time.time() // DAY_S)


def choose_within(
    controls: Sequence[NegativeControl], took_s: Mapping[str, float], within_s: float
) -> list[NegativeControl]:
    """Return those of the controls that should end in time, by what they took last; the first of all if none should.

    Each of their scenarios is run on the unbroken system before, in about the time of its middle control: some end
    early, where what is broken ends the scenario, and some wait for what does not come.
    """
    chosen, planned_s, unbroken = list[NegativeControl](), 0.0, set[str]()
    for control in controls:
        known = [took_s[each.name] for each in controls if each.scenario == control.scenario and each.name in took_s]
        usual_s = median(known) if known else 0.0
        cost_s = took_s.get(control.name, usual_s) + (0.0 if control.scenario in unbroken else usual_s)
        if planned_s + cost_s <= within_s:
            chosen.append(control)
            planned_s += cost_s
            unbroken.add(control.scenario)
    return chosen or list(controls[:1])
