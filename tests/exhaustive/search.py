"""Breadth-first search over a few environments that share a store: every order of their steps, every fault at each.

A state is the shared value and the environments' values, without regard to which environment is which: environments
that would behave alike are one. Times are relative to the present, so that a state met later is the same state.
A step depends on one environment and the shared value alone; so the shipped code runs once for each such pair, and
what it did is remembered.
"""

from array import array
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

# Steps of a counterexample are reconstructed from these: the index of the state before, -1 for the first.
Parents = array[int]


@dataclass(frozen=True, slots=True)
class Move:
    """One step of an environment: what it and the shared value become.

    A `fault` is what no way back to normal may need. `problem` names the invariant that the step breaks. `shift` is
    what the other environments have to learn, because their values are relative to the shared one.
    """

    label: str
    environment: Any
    shared: Any
    fault: bool = False
    problem: str | None = None
    shift: Hashable = None


class Machine(Protocol):
    """A machine to be searched: values of environments and of what they share are hashable."""

    def begin(self) -> tuple[Any, Any]:
        """Return the shared value and that of each environment at the beginning."""
        ...

    def list_moves(self, environment: Any, shared: Any) -> Iterable[Move]:
        """Return each step that the environment can take next."""
        ...

    def apply_shift(self, environment: Any, shift: Any) -> Any:
        """Return an environment after another one's step with this shift."""
        ...

    def pass_time(self, environment: Any) -> Any | None:
        """Return the environment one unit of time later; None if time can't pass before it has taken a step."""
        ...

    def pass_time_shared(self, shared: Any) -> Any:
        """Return the shared value one unit of time later."""
        ...

    def count_holders(self, environment: Any, shared: Any) -> int:
        """Return 1 if the environment has now what only one may have, else 0."""
        ...

    def is_normal(self, environment: Any, shared: Any) -> bool:
        """Return whether this is how it should be, as far as this environment and the shared value show."""
        ...


@dataclass(frozen=True, slots=True)
class Counterexample:
    """The shortest sequence of steps that breaks an invariant."""

    problem: str
    steps: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{n:3}. {step}" for n, step in enumerate(self.steps, 1)]
        return "\n".join([f"{self.problem}, after {len(self.steps)} steps:", *lines])


@dataclass(slots=True)
class Result:
    """The states that a search has seen. It is `closed` if there was nothing left to expand."""

    states: int = 0
    steps: int = 0
    depth: int = 0
    closed: bool = False
    counterexample: Counterexample | None = None
    kinds: set[str] = field(default_factory=set)  # labels of all steps taken


State = tuple[int, ...]  # the ids of the shared value and, in order, of the environments
MORE_THAN_ONE = "two environments have what only one may have"
STUCK = "no way back to normal without another fault"
TIME = "a unit of time passes"


class _Values:
    """Values by number, so that a state is a few small integers."""

    def __init__(self) -> None:
        self.values: list[Any] = []
        self._ids: dict[Any, int] = {}

    def number(self, value: Any) -> int:
        found = self._ids.get(value)
        if found is None:
            found = self._ids[value] = len(self.values)
            self.values.append(value)
        return found


class _Known:
    """A function of numbers that is computed once for each argument."""

    def __init__(self, compute: Callable[..., Any]) -> None:
        self._compute = compute
        self._known: dict[Any, Any] = {}

    def __call__(self, *key: Any) -> Any:
        try:
            return self._known[key]
        except KeyError:
            found = self._known[key] = self._compute(*key)
            return found


class Search:
    """A breadth-first search over `size` environments of a machine."""

    def __init__(self, machine: Machine, size: int) -> None:
        self._machine = machine
        self._environments, self._shared = _Values(), _Values()
        shared, environment = machine.begin()
        self._first: State = (self._shared.number(shared), *[self._environments.number(environment)] * size)
        values, shares = self._environments.values, self._shared.values
        self._moves = _Known(self._list_moves)
        self._shifted = _Known(lambda e, shift: self._environments.number(machine.apply_shift(values[e], shift)))
        self._later = _Known(lambda e: self._number_or_none(machine.pass_time(values[e])))
        self._later_shared = _Known(lambda s: self._shared.number(machine.pass_time_shared(shares[s])))
        self._holds = _Known(lambda e, s: machine.count_holders(values[e], shares[s]))
        self._normal = _Known(lambda e, s: machine.is_normal(values[e], shares[s]))

    def _number_or_none(self, value: Any) -> int | None:
        return None if value is None else self._environments.number(value)

    def _list_moves(self, e: int, s: int) -> list[tuple[str, int, int, bool, str | None, Any]]:
        moves = self._machine.list_moves(self._environments.values[e], self._shared.values[s])
        return [
            (
                move.label,
                self._environments.number(move.environment),
                self._shared.number(move.shared),
                move.fault,
                move.problem,
                move.shift,
            )
            for move in moves
        ]

    def _expand(self, state: State) -> list[tuple[str, int, bool, str | None, State]]:
        """Return each step as label, place of the environment that takes it (-1: time), fault, problem, next state.

        The environments of the next state are not in order yet.
        """
        shared, environments = state[0], state[1:]
        steps: list[tuple[str, int, bool, str | None, State]] = []
        before = -1
        for place, environment in enumerate(environments):
            if environment == before:
                continue
            before = environment
            left, right = environments[:place], environments[place + 1 :]
            for label, after, share, fault, problem, shift in self._moves(environment, shared):
                if shift is None:
                    following = (share, *left, after, *right)
                else:
                    moved = (
                        [self._shifted(each, shift) for each in left],
                        [self._shifted(each, shift) for each in right],
                    )
                    following = (share, *moved[0], after, *moved[1])
                steps.append((label, place, fault, problem, following))
        later = [self._later(each) for each in environments]
        if None not in later:
            steps.append((TIME, -1, False, None, (self._later_shared(shared), *later)))
        return steps

    def run(self, *, most: int | None = None) -> Result:
        """Search until an invariant breaks, nothing is left, or `most` states have been seen.

        If all states were seen, check that each has a way back to normal without a fault.
        """
        result, seen, states = Result(), {self._first: 0}, [self._first]
        parents: Parents = array("l", [-1])
        sources: Parents = array("l")
        targets: Parents = array("l")
        depth_ends, n = 1, 0
        while n < len(states) and (most is None or len(states) < most):
            if n == depth_ends:
                result.depth, depth_ends = result.depth + 1, len(states)
            for label, _, fault, problem, unordered in self._expand(states[n]):
                result.steps += 1
                result.kinds.add(label)
                following = (unordered[0], *sorted(unordered[1:]))
                at = seen.setdefault(following, len(states))
                if at == len(states):
                    states.append(following)
                    parents.append(n)
                    problem = problem or self._check_holders(following)
                if problem:
                    result.states = len(states)
                    result.counterexample = self._describe(states, parents, n, problem, label, following)
                    return result
                if not fault:
                    sources.append(n)
                    targets.append(at)
            n += 1
        result.states, result.closed = len(states), n == len(states)
        if result.closed:
            result.counterexample = self._find_stuck(states, parents, sources, targets)
        return result

    def _check_holders(self, state: State) -> str | None:
        holders = sum(self._holds(environment, state[0]) for environment in state[1:])
        return MORE_THAN_ONE if holders > 1 else None

    def _find_stuck(self, states: list[State], parents: Parents, sources: Parents, targets: Parents) -> Any:
        """Return how to come to the nearest state without a way back to normal, None if there is none."""
        starts, order = _group_by_target(len(states), sources, targets)
        is_safe = bytearray(len(states))
        todo = [n for n, state in enumerate(states) if all(self._normal(e, state[0]) for e in state[1:])]
        for n in todo:
            is_safe[n] = 1
        while todo:
            n = todo.pop()
            for at in range(starts[n], starts[n + 1]):
                source = sources[order[at]]
                if not is_safe[source]:
                    is_safe[source] = 1
                    todo.append(source)
        stuck = is_safe.find(0)
        return None if stuck < 0 else self._describe(states, parents, stuck, STUCK)

    def _describe(
        self, states: list[State], parents: Parents, n: int, problem: str, label: str = "", last: State | None = None
    ) -> Counterexample:
        """Return the steps to a state, and one more to `last`; each environment keeps its name throughout."""
        path = [last] if last is not None else []
        while n >= 0:
            path.insert(0, states[n])
            n = parents[n]
        names, steps = list(range(1, len(self._first))), []
        for before, after in pairwise(path):
            taken = [each for each in self._expand(before) if (each[4][0], *sorted(each[4][1:])) == after]
            wanted = [each for each in taken if each[0] == label] if after is last else []
            step, place, _, _, unordered = (wanted or taken)[0]
            steps.append(step if place < 0 else f"environment {names[place]} {step}")
            order = sorted(range(len(names)), key=lambda at: unordered[1 + at])
            names = [names[at] for at in order]
        return Counterexample(problem, tuple(steps))


def _group_by_target(size: int, sources: Parents, targets: Parents) -> tuple[Parents, Parents]:
    """Return where the steps into each state begin in the second array, which lists the steps by their target."""
    starts = array("l", bytes(array("l").itemsize * (size + 1)))
    for target in targets:
        starts[target + 1] += 1
    for n in range(size):
        starts[n + 1] += starts[n]
    free, order = starts[:], array("l", bytes(array("l").itemsize * len(sources)))
    for step, target in enumerate(targets):
        order[free[target]] = step
        free[target] += 1
    return starts, order
