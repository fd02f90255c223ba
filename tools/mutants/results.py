"""The results of mutation testing, kept in measurements/mutants.json: what survived, and our explanation of each.

An explanation is written into the file by hand; the next run keeps it for the same change of the same function.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tools.pages import ROOT

KEPT = ROOT / "measurements/mutants.json"
LEAST_SHARE = 0.95  # of the mutants that a test has to notice


@dataclass(frozen=True)
class SurvivingMutant:
    """A change that no test noticed: the line `before` became `after`, in a function of a file."""

    file: str
    line: int
    function: str
    before: str
    after: str
    explanation: str = ""

    @property
    def identity(self) -> tuple[str, ...]:
        """Return what stays the same while code above it moves."""
        return self.file, self.function, self.before, self.after


@dataclass(frozen=True)
class PartResults:
    """The results of one part, of the code that has this digest; of the `killed` mutants some `hung`."""

    commit: str
    digest: str
    mutants: int
    killed: int
    hung: int
    survivors: tuple[SurvivingMutant, ...]

    @property
    def share(self) -> float:
        """Return the share of the mutants that a test noticed."""
        return self.killed / self.mutants

    def keep_explanations(self, earlier: "PartResults") -> "PartResults":
        """Return the results with the explanations that earlier ones have of the same changes."""
        known = {each.identity: each.explanation for each in earlier.survivors}
        explained = (replace(each, explanation=known.get(each.identity, "")) for each in self.survivors)
        return replace(self, survivors=tuple(explained))


def read_results(path: Path = KEPT) -> dict[str, PartResults]:
    """Return the kept results by the names of the parts."""
    document = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return {name: _read_part(table) for name, table in document.items()}


def _read_part(table: dict[str, Any]) -> PartResults:
    return PartResults(**{**table, "survivors": tuple(SurvivingMutant(**each) for each in table["survivors"])})


def keep_results(name: str, results: PartResults, path: Path = KEPT) -> PartResults:
    """Write the results of a part beside those of others, with the explanations that are known; return them."""
    kept = read_results(path)
    if name in kept:
        results = results.keep_explanations(kept[name])
    document = {each: asdict(part) for each, part in sorted({**kept, name: results}.items())}
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return results


def list_troubles(kept: dict[str, PartResults], names: Iterable[str]) -> Iterator[str]:
    """Yield what is wrong with the results of these parts: none, too many survivors, or one without an explanation."""
    for name in names:
        if name not in kept:
            yield f"{name}: there are no results: run make mutants ONLY={name}"
            continue
        if kept[name].share < LEAST_SHARE:
            yield f"{name}: {kept[name].share:.1%} of the mutants were noticed, less than {LEAST_SHARE:.0%}"
        for each in kept[name].survivors:
            if not each.explanation.strip():
                yield f"{each.file}:{each.line}: {each.before} → {each.after} survived, and nobody says why"
