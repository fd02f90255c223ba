"""`python -m stress.before`: the predecessor as one process on a loopback port, until it is ended."""

import argparse
import sys
from dataclasses import fields

import uvicorn

from stress.before.app import BeforeSettings, build_app

# Longer than a client keeps an idle connection: with uvicorn's own 5 s some calls would meet one that is being closed.
KEEP_ALIVE_S = 75


def main() -> int:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m stress.before", description=__doc__)
    parser.add_argument("--port", type=int, required=True, help="port on 127.0.0.1")
    names = [each.name for each in fields(BeforeSettings)]
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", required=True)
    options = parser.parse_args()
    settings = BeforeSettings(**{name: getattr(options, name) for name in names})
    uvicorn.run(
        build_app(settings),
        host="127.0.0.1",
        port=options.port,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=KEEP_ALIVE_S,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
