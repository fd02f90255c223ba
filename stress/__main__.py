"""The command line: `python -m stress run`, `compare` and `keep`; for the controls `python -m stress.controls`."""

from stress.interrupts import end_at_once, run_until_interrupted

if __name__ == "__main__":
    end_at_once()

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from stress import published_claims, published_report, remote_target
from stress.fixtures import FixtureError
from stress.local_target import TargetStartError
from stress.processes import raise_priority
from stress.profiles import PROFILES
from stress.progress_view import ProgressView
from stress.report.compare import write_comparison
from stress.run import SCENARIOS, RunOptions, run

ROOT = Path(__file__).resolve().parents[1]
REMOTE_S = 30.0
NOT_PUBLISHED = (
    OSError,
    ValueError,
    published_claims.UnknownEvidence,
    published_report.OutdatedControls,
    published_report.MachineNamed,
)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser for the options."""
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
        "--target",
        help="the API's base path on a stack elsewhere; with STAFF_TOKEN in the environment it is reconciled",
    )
    one.add_argument("--yes", action="store_true", help="with --target: do not ask")
    one.add_argument("--stall", action="store_true", help="stall the load generator in the middle of each scenario")
    two = commands.add_parser("compare", help="two runs side by side")
    two.add_argument("a", type=Path, help="the folder of a report")
    two.add_argument("b", type=Path, help="the folder of another")
    two.add_argument("--out", type=Path, help="the page; default beside the second folder")
    three = commands.add_parser("keep", help="publish a full run in measurements/ and docs/")
    three.add_argument("folder", type=Path, help="the folder of the report")
    three.add_argument("--marked", action="store_true", help="although its controls are older: its page says INVALID")
    return parser


def main(arguments: list[str]) -> int:
    """Return 0 on success; 1 if a scenario does not pass, or nothing could be run, compared or published."""
    options = build_parser().parse_args(arguments)
    return {"run": run_on_target, "compare": compare_runs, "keep": publish_report}[options.command](options)


def publish_report(options: argparse.Namespace) -> int:
    """Publish a run's report below docs/; return the exit status."""
    try:
        published_report.publish(options.folder, ROOT, marked=options.marked)
    except NOT_PUBLISHED as error:
        print(f"not kept: {error}", file=sys.stderr)
        return 1
    return 0


def compare_runs(options: argparse.Namespace) -> int:
    """Print the comparison of two runs and write it as a page; return the exit status."""
    out = options.out or options.b.with_name(f"{options.b.name}-compared.html")  # the folder itself is signed
    try:
        print(write_comparison(options.a, options.b, out))
    except (OSError, ValueError) as error:
        print(f"not two reports: {error}", file=sys.stderr)
        return 1
    print(f"page: {out}")
    return 0


def run_on_target(options: argparse.Namespace) -> int:
    """Run the scenarios on the target or on a local cloud; return the exit status."""
    out = options.out or ROOT / "reports" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    return run_remote(options.target, out, yes=options.yes) if options.target else run_locally(options, out)


def run_remote(url: str, out: Path, *, yes: bool) -> int:
    """Run on a stack that is not ours to break, after a confirmation; return the exit status."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        print(f"{url} is no address of an API: TARGET=https://…/api", file=sys.stderr)
        return 1
    print(remote_target.NOTICE.format(target=url))
    if not yes and not is_confirmed():
        return 1
    with ProgressView(profile="remote", expected_s=REMOTE_S) as progress:
        report = uvloop.run(remote_target.run(url, os.environ.get("STAFF_TOKEN", ""), out, progress))
        progress.end(report, out)
    return 0 if report.verdict == "PASS" else 1


def is_confirmed() -> bool:
    """Return whether somebody says yes; without anybody to ask, nobody does."""
    try:
        return input("Go on? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        print("nobody answers: YES=1", file=sys.stderr)
        return False


def run_locally(arguments: argparse.Namespace, out: Path) -> int:
    """Run on a local cloud of its own; return the exit status."""
    options = RunOptions(
        root=arguments.root.resolve(),
        state=(arguments.state or arguments.root / ".stress").resolve(),
        out=out,
        profile=PROFILES[arguments.profile],
        only=tuple(arguments.only),
        seed=arguments.seed,
        stall=arguments.stall,
        sql=arguments.sql_file.read_text() if arguments.sql_file else "",
    )
    raise_priority()
    with ProgressView(profile=options.profile.name, expected_s=options.profile.expected_s) as progress:
        try:
            report = uvloop.run(run(options, progress))
        except (TargetStartError, FixtureError) as error:
            print(error, file=sys.stderr)
            return 1
        progress.end(report, options.out)
    return 0 if report.verdict == "PASS" else 1


if __name__ == "__main__":
    sys.exit(run_until_interrupted(main, sys.argv[1:], "stopped"))
