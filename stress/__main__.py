"""The command line: `python -m stress run`, `controls`, `compare`."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

import uvloop

from stress.crowd import NotPrepared
from stress.live import Live
from stress.processes import hurry
from stress.profiles import PROFILES
from stress.run import SCENARIOS, Options, run
from stress.target import CannotStart

ROOT = Path(__file__).resolve().parents[1]


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
    one.add_argument("--stall", action="store_true", help="stall the load generator in the middle of each scenario")
    return parser


def main(arguments: list[str]) -> int:
    """0 where all scenarios pass; 1 where one does not, or nothing could be driven."""
    given = parser().parse_args(arguments)
    options = Options(
        root=given.root.resolve(),
        state=(given.state or given.root / ".stress").resolve(),
        out=given.out or ROOT / "reports" / datetime.now(UTC).strftime("%Y%m%d-%H%M%S"),
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
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    sys.exit(main(sys.argv[1:]))
