"""`make mutations`: changes what is deployed in one way after another, and shows that a test turns red for each.

    python -m tests.mutations [NAME …]

Then each case that was red for a mutation must be green where nothing is changed, or its red would mean nothing.
"""

import shutil
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.mutations.child_runs import CheckoutCopy, ChildRun, warm_up
from tests.mutations.model import (
    FILE,
    InvalidMutation,
    Mutation,
    Outcome,
    drop_case,
    judge,
    list_failing,
    list_red_cases,
    read_table,
)

ROOT = Path(__file__).resolve().parents[2]
COPIES = ROOT / "build/mutations"
AT_ONCE = 2
POLL_S = 0.02


@dataclass
class RunningMutation:
    """A mutation under way in a copy; `put_back` ends it."""

    mutation: Mutation
    copy: CheckoutCopy
    run: ChildRun
    put_back: Callable[[], None]


class MutationSuite:
    """The mutations at work, each in a copy of the checkout, as many at once as there are copies."""

    def __init__(self, mutations: Sequence[Mutation], copies: Sequence[CheckoutCopy]) -> None:
        self._waiting = deque(mutations)
        self._idle = list(copies)
        self._running: list[RunningMutation] = []
        self.wrong: list[str] = []
        self.red_cases: set[str] = set()

    def run(self) -> None:
        """Run all mutations; each prints what became of it."""
        while self._waiting or self._running:
            while self._waiting and self._idle:
                self._begin(self._waiting.popleft())
            for work in list(self._running):
                self._look_at(work)
            time.sleep(POLL_S)

    def _begin(self, mutation: Mutation) -> None:
        copy = self._idle.pop()
        try:
            put_back = copy.change(mutation.edit)
        except (InvalidMutation, OSError) as error:
            self._idle.append(copy)
            self._settle(mutation, "broken", str(error), 0.0)
            return
        self._running.append(RunningMutation(mutation, copy, copy.start(mutation.red), put_back))

    def _look_at(self, work: RunningMutation) -> None:
        outcomes = work.run.read_outcomes()
        if outcomes is None:
            return
        work.put_back()
        self._running.remove(work)
        self._idle.append(work.copy)
        self.red_cases.update(list_red_cases(work.mutation, outcomes))
        self._settle(work.mutation, *judge(work.mutation, outcomes), time.monotonic() - work.run.began)

    def _settle(self, mutation: Mutation, outcome: Outcome, why: str, seconds: float) -> None:
        held = outcome == mutation.wanted
        if not held:
            self.wrong.append(mutation.name)
        line = f"{'ok ' if held else 'NOT'}  {outcome:<8}  {seconds:5.1f} s  {mutation.name}"
        print(line if held else f"{line}: {why or 'a control that must survive was seen'}", flush=True)


def list_cases(copy: CheckoutCopy, mutations: Sequence[Mutation]) -> frozenset[str]:
    """Return the cases of all files that the mutations name; the copy has their bytecode then, for all runs."""
    files = sorted({name.partition("::")[0] for mutation in mutations for name in mutation.red})
    run = copy.start(files, unchanged=True, only_import=True)
    while (outcomes := run.read_outcomes()) is None:
        time.sleep(POLL_S)
    return frozenset(outcomes)


def are_green_unchanged(copies: Sequence[CheckoutCopy], known: Collection[str], red: Collection[str]) -> bool:
    """Return whether the cases that were red pass on the unchanged tree; print those that do not.

    Each copy runs the cases of some files. Of a case that only a mutation has, the whole test is run.
    """
    cases = {case if case in known else drop_case(case) for case in red}
    files = sorted({case.partition("::")[0] for case in cases})
    runs = []
    for number, copy in enumerate(copies):
        own = set(files[number :: len(copies)])
        if chosen := sorted(case for case in cases if case.partition("::")[0] in own):
            runs.append((chosen, copy, copy.start(chosen, unchanged=True)))
    wrong: list[str] = []
    for chosen, copy, run in runs:
        while (outcomes := run.read_outcomes()) is None:
            time.sleep(POLL_S)
        wrong += list_failing(chosen, outcomes)
        if not outcomes:
            print(f"the tests on the unchanged tree have no results: see {copy.folder}/run.log", file=sys.stderr)
    print(f"unchanged: {len(cases) - len(wrong)} of {len(cases)} cases are green", *wrong, sep="\n  ", flush=True)
    return not wrong


def main(names: Sequence[str]) -> int:
    """Run the mutations of these names, or all; return the exit status."""
    began = time.monotonic()
    known = read_table(FILE.read_text(encoding="utf-8")).mutations
    if unknown := set(names) - {mutation.name for mutation in known}:
        print(f"there is no mutation {', '.join(sorted(unknown))}: see {FILE.relative_to(ROOT)}", file=sys.stderr)
        return 2
    mutations = [m for m in known if not names or m.name in names]
    warm_up()
    first = CheckoutCopy.make(ROOT, COPIES / "0")
    known_cases = list_cases(first, mutations)
    copies = [first, *(first.copy(COPIES / str(number)) for number in range(1, AT_ONCE))]
    suite = MutationSuite(mutations, copies)
    suite.run()
    if not are_green_unchanged(copies, known_cases, suite.red_cases):
        return 1
    held = len(mutations) - len(suite.wrong)
    print(f"{held} of {len(mutations)} mutations are as they must be, in {time.monotonic() - began:.0f} s")
    if suite.wrong or not mutations:
        return 1
    shutil.rmtree(COPIES)  # else it is worth a look
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:  # the children get the same signal as this process ends
        sys.exit(130)
