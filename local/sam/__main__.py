"""`python -m local.sam`: have the functions run by `sam local`, in Docker, on the stack of `make up`.

It builds for this machine's processor, writes the functions' environment for a container, and the records that
events/*.json are about. Then it says what to type, stays, and forwards the containers' connections to the stack's
ports, which are on 127.0.0.1 alone: through Unix sockets in the functions' code.
"""

import argparse
import sys
from pathlib import Path

from local.sam import forwarder
from local.sam.build import SamBuildFailed, SamFiles, adapt_build, read_machine_architecture, run_sam_build
from local.sam.container_wrapper import DATABASE, EMULATOR
from local.sam.environment import write_environment
from local.sam.records import write_records
from local.stack import Stack
from local.state_folder import ROOT, StateFolder

WHAT_TO_TYPE = """
In another terminal, in this folder:

  .venvs/sam/bin/sam local invoke ClaimsFunction --event events/claims/get_claims.json
  .venvs/sam/bin/sam local start-api --port 3001 --warm-containers LAZY

events/ has a file for each route and trigger, in the folder of its function. `sam local invoke` exits 0 also if the
function failed: its answer is what it prints. More: docs/how-to/run-with-sam-local.md
"""


def main() -> int:
    """Do all of it; a problem becomes one message on stderr and status 1."""
    options = parse_arguments()
    state_folder = StateFolder(ROOT, Path(options.state).resolve())
    if not state_folder.is_running():
        print("the local cloud is not running: make up", file=sys.stderr)
        return 1
    try:
        files = SamFiles.make_below(state_folder.path)
        if not options.built:
            print(f"building for {options.architecture} …", flush=True)
            run_sam_build(state_folder.root, files.build, options.architecture)
        stack = Stack.load(state_folder.stack)
        prepare(state_folder, stack, files, options.architecture)
    except SamBuildFailed as error:
        print(error, file=sys.stderr)
        return 1
    print(WHAT_TO_TYPE, flush=True)
    if not options.once:
        forward_connections(state_folder, stack, files)
    return 0


def parse_arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(prog="python -m local.sam", description=__doc__)
    parser.add_argument("--state", default=str(ROOT / ".local"), help="the folder that keeps the local cloud's state")
    parser.add_argument(
        "--architecture", default=read_machine_architecture(), help="arm64 or x86_64; by default this machine's"
    )
    parser.add_argument("--built", action="store_true", help="take the build that is there")
    parser.add_argument("--once", action="store_true", help="end when all is written")
    return parser.parse_args()


def prepare(state_folder: StateFolder, stack: Stack, files: SamFiles, architecture: str) -> None:
    """Make a build fit for the running stack, and write the environment and the records."""
    adapt_build(state_folder, files, architecture)
    write_environment(stack, files)
    write_records(state_folder, stack)


def forward_connections(state_folder: StateFolder, stack: Stack, files: SamFiles) -> None:
    """Forward the containers' connections to the stack's ports until Ctrl-C."""
    known = state_folder.read_state().ports
    ports = {EMULATOR: known["emulator"], DATABASE: known.get("database_proxy", known["postgres"])}
    print(
        f"forwarding connections to 127.0.0.1, ports {' and '.join(map(str, ports.values()))}; Ctrl-C ends it",
        flush=True,
    )
    forwarder.run(files.build, [function.logical_id for function in stack.functions], ports)


if __name__ == "__main__":
    sys.exit(main())
