"""Ctrl-C while a program of ours starts and while it works."""

import signal
import sys
from collections.abc import Callable, Sequence

INTERRUPTED = 130  # the status of a shell's command that Ctrl-C ended


def end_at_once() -> None:
    """Let Ctrl-C end this program without a traceback: the imports that follow take a second.

    Where it is ignored, as in a job in the background, it still is.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def run_until_interrupted(main: Callable[[list[str]], int], arguments: Sequence[str], stopped: str) -> int:
    """Return the exit status of a command line; of one that Ctrl-C ended INTERRUPTED, after saying so."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return main(list(arguments))
    except KeyboardInterrupt:
        print(f"\n{stopped}", file=sys.stderr)
        return INTERRUPTED
