"""`make mutants`: change the code of each part in one place after another, and keep which changes no test notices.

    python -m tools.mutants [--again] [PART …]

The results of a part are kept in measurements/mutants.json, from which docs/reference/mutants.md is generated. With
`--again` only the mutants that survived the last run are tested once more, for the time in which tests are written.
Return 1 if a survivor has no explanation or too many survived.
"""

import argparse
import sys
from collections.abc import Sequence

from tools.mutants.mutmut_runs import NOTICED, StagedPart
from tools.mutants.page import main as write_page
from tools.mutants.parts import PARTS, Part, find_part
from tools.mutants.results import PartResults, keep_results, list_troubles, read_results
from tools.mutants.staging import FOLDER, stage


def run_part(part: Part, *, again: bool) -> PartResults:
    """Test the mutants of a part and keep the results. Raise MutmutFailed."""
    staged = StagedPart(part, FOLDER / part.name)
    survivors = _list_survivors(staged) if again else []
    stage(part, staged.folder, keep=again)
    staged.run(survivors)
    return keep_results(part.name, staged.read_results())


def _list_survivors(staged: StagedPart) -> list[str]:
    return [name for name, status in staged.list_statuses().items() if status not in NOTICED]


def main(arguments: Sequence[str]) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutants")
    parser.add_argument("--again", action="store_true", help="test only those that survived the last run")
    parser.add_argument("names", nargs="*", metavar="PART", help=", ".join(part.name for part in PARTS))
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - {part.name for part in PARTS}:
        parser.error(
            f"there is no part {', '.join(sorted(unknown))}; there are: {', '.join(part.name for part in PARTS)}"
        )
    parts = [find_part(name) for name in options.names] or list(PARTS)
    for part in parts:
        results = run_part(part, again=options.again)
        print(f"{part.name}: {results.killed} of {results.mutants} mutants noticed ({results.share:.1%})", flush=True)
    write_page([])
    troubles = list(list_troubles(read_results(), [part.name for part in parts]))
    print(*troubles, sep="\n", file=sys.stderr)
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
