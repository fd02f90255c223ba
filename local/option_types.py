"""The parser of the local cloud's command line, and the types of its options."""

import argparse
from datetime import datetime
from typing import NoReturn

from local.runtime.variables import VariableOverride
from local.state_folder import LAST_PORT


class LocalParser(argparse.ArgumentParser):
    """A parser that says in a line what is wrong: a list of all options would hide it."""

    def error(self, message: str) -> NoReturn:
        """Exit with the message and status 2."""
        self.exit(2, f"{message.removeprefix('argument ')}\nall options: {self.prog} --help\n")


def check_variable(variable: str) -> str:
    """Return a `--variable` option unchanged. Raise argparse.ArgumentTypeError if it can't be parsed."""
    try:
        VariableOverride.parse(variable)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return variable


def read_port(text: str) -> int:
    """Return a port, 0 for any free one. Raise argparse.ArgumentTypeError."""
    if not text.isascii() or not text.isdigit() or int(text) > LAST_PORT:
        raise argparse.ArgumentTypeError(f"{text!r} is no port: a number from 1 to {LAST_PORT}, 0 for any free one")
    return int(text)


def split_pair(text: str) -> tuple[str, str]:
    """Return name and value of NAME=VALUE. Raise argparse.ArgumentTypeError."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def read_moment(text: str) -> datetime:
    """Return the moment of a `--to` option. Raise argparse.ArgumentTypeError."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no moment with its offset, like 2026-11-26T21:30:00+00:00")
    return moment
