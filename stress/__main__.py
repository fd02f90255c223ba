"""The command line: `python -m stress run` and `compare`; the negative controls are `python -m stress.controls`."""

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from stress import claims, remote
from stress.crowd import NotPrepared
from stress.live import Live
from stress.processes import hurry
from stress.profiles import PROFILES
from stress.report.compare import write_comparison
from stress.run import SCENARIOS, Options, run
from stress.target import CannotStart

ROOT = Path(__file__).resolve().parents[1]
REMOTE_S = 30.0


def parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(prog="python -m stress", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("run", help="drive a system, and write a report")
    one.add_argument("--profile", choices=sorted(PROFILES), default="full")
    one.add_argument("--only", action="append", default=[], choices=sorted(SCENARIOS), help="a scenario; repeatable")
    one.add_argument("--seed", type=int, default=1)
    one.add_argument("--out", type=Path, help="the report's folder; default reports/<time>")
    one.add_argument("--root", type=Path, default=ROOT, help="the checkout that is driven")
    one.add_argument(
        "--state", type=Path, help="where the local clouds keep their state; default .stress in that checkout"
    )
    one.add_argument("--sql-file", type=Path, help="statements run on the database before anything else")
    one.add_argument(
        "--target", help="the API's base path on a stack elsewhere; STAFF_TOKEN in the environment lets it be audited"
    )
    one.add_argument("--yes", action="store_true", help="with --target: do not ask")
    one.add_argument("--stall", action="store_true", help="stall the load generator in the middle of each scenario")
    two = commands.add_parser("compare", help="two runs side by side")
    two.add_argument("a", type=Path, help="the folder of a report")
    two.add_argument("b", type=Path, help="the folder of another")
    two.add_argument("--out", type=Path, help="the page; default compare.html in the second folder")
    three = commands.add_parser("keep", help="publish a full run in measurements/ and docs/")
    three.add_argument("folder", type=Path, help="the folder of the report")
    return parser


def main(arguments: list[str]) -> int:
    """0 where all is well; 1 where a scenario does not pass, or nothing could be driven or compared."""
    given = parser().parse_args(arguments)
    return {"run": driven, "compare": compared, "keep": kept}[given.command](given)


def kept(given: argparse.Namespace) -> int:
    """Keep a run's report in measurements/, and write the page of it."""
    try:
        claims.keep(given.folder, ROOT)
    except (OSError, ValueError, claims.NotFound) as error:
        print(f"not kept: {error}", file=sys.stderr)
        return 1
    return 0


def compared(given: argparse.Namespace) -> int:
    """Two runs side by side, printed, and on a page."""
    out = given.out or given.b / "compare.html"
    try:
        print(write_comparison(given.a, given.b, out))
    except (OSError, ValueError) as error:
        print(f"not two reports: {error}", file=sys.stderr)
        return 1
    print(f"page: {out}")
    return 0


def driven(given: argparse.Namespace) -> int:
    """A run."""
    out = given.out or ROOT / "reports" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return elsewhere(given.target, out, yes=given.yes) if given.target else here(given, out)


def elsewhere(url: str, out: Path, *, yes: bool) -> int:
    """A run against a stack that is not ours to break; says what it will create, and asks."""
    print(remote.WHAT.format(target=url))
    if not yes and input("Go on? [y/N] ").strip().lower() not in ("y", "yes"):
        return 1
    with Live(profile="remote", expected_s=REMOTE_S) as live:
        report = uvloop.run(remote.run(url, os.environ.get("STAFF_TOKEN", ""), out, live))
        live.end(report, out)
    return 0 if report.verdict == "PASS" else 1


def here(given: argparse.Namespace, out: Path) -> int:
    """A run against a local cloud of its own."""
    options = Options(
        root=given.root.resolve(),
        state=(given.state or given.root / ".stress").resolve(),
        out=out,
        profile=PROFILES[given.profile],
        only=tuple(given.only),
        seed=given.seed,
        stall=given.stall,
        sql=given.sql_file.read_text() if given.sql_file else "",
    )
    hurry()
    with Live(profile=options.profile.name, expected_s=options.profile.expected_s) as live:
        try:
            report = uvloop.run(run(options, live))
        except (CannotStart, NotPrepared) as error:
            print(error, file=sys.stderr)
            return 1
        live.end(report, options.out)
    return 0 if report.verdict == "PASS" else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
