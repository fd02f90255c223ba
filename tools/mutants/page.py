"""Generate docs/reference/mutants.md, which changes of the code no test notices, from measurements/mutants.json.

Usage: python -m tools.mutants.page [--check]

The page says which results are older than the code. A change of the code makes it out of date, and `make reference`
says then that they are older: the run itself is the night's.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence

from tools.mutants.parts import PARTS, Part
from tools.mutants.results import LEAST_SHARE, PartResults, SurvivingMutant, read_results
from tools.pages import REFERENCE, format_table, write_or_check

PAGE = REFERENCE / "mutants.md"
CURRENT, OLDER = "as the code is", "**older than the code**"
HEAD = """# Mutants of the code

`make mutants` changes the code that ships in one place after another (another operator, number, text or argument, or
none) and runs the tests that reach it. A change that a test notices is killed; one that none notices survives, and
shows a test that is missing or a place that may as well be otherwise. At least {least:.0%} have to be killed, and each
survivor has to be explained ([decision 62](../decisions/0062-mutate-the-core-with-mutmut.md)). This page is generated
from `measurements/mutants.json`, where the explanations are written.

"""


def render(kept: dict[str, PartResults], older: Iterable[str]) -> str:
    """Return the page; `older` are the parts whose code has changed since."""
    rows = (_make_row(part, kept.get(part.name), is_older=part.name in older) for part in PARTS)
    table = format_table(
        ("Part", "Mutants", "Killed", "Of these, hung", "Survivors", "Measured at", "Results are"), rows
    )
    sections = (_format_survivors(part, kept[part.name]) for part in PARTS if part.name in kept)
    return HEAD.format(least=LEAST_SHARE) + table + "".join(sections)


def _make_row(part: Part, results: PartResults | None, *, is_older: bool) -> Sequence[str]:
    folder = f"`{part.folder}`"
    if results is None:
        return folder, "", "", "", "", "", "not there yet"
    killed = f"{results.killed} ({results.share:.1%})"
    state = OLDER if is_older else CURRENT
    counts = (str(results.mutants), killed, str(results.hung), str(len(results.survivors)))
    return folder, *counts, f"`{results.commit}`", state


def _format_survivors(part: Part, results: PartResults) -> str:
    if not results.survivors:
        return ""
    return f"\n## Survivors of {part.name}\n" + format_table(
        ("Where", "What was changed", "Why no test notices"), (_describe_survivor(each) for each in results.survivors)
    )


def _describe_survivor(each: SurvivingMutant) -> Sequence[str]:
    place = f"{each.file.rpartition('/')[2]}:{each.line} `{each.function}`"
    return place, f"`{each.before}` → `{each.after}`", each.explanation


def list_older(kept: dict[str, PartResults]) -> Iterator[str]:
    """Yield the parts whose code is not the code that was mutated."""
    yield from (part.name for part in PARTS if part.name in kept and kept[part.name].digest != part.compute_digest())


def main(arguments: Sequence[str]) -> int:
    """Write or check the page; return the exit status."""
    kept = read_results()
    older = sorted(list_older(kept))
    for name in older:
        print(f"{PAGE.name}: the results of {name} are older than the code (make mutants ONLY={name})", file=sys.stderr)
    return write_or_check(PAGE, render(kept, older), "make reference", arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
