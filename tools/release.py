"""The id of a release, and whether a stack answers with it.

    python -m tools.release stamp [--build .aws-sam/build] [--environment staging] NAME=VALUE …
    python -m tools.release check URL [--build .aws-sam/build] [--within 120]

`stamp` prints twelve hexadecimal digits that stand for all that a deployment brings: what `sam build` has made of code,
layer and migrations, the template, and the parameters that are passed. It writes them into the built template as the
functions' variable RELEASE, so another id makes another version of every function, and the same id none. `check` asks
a stack's health until it reports the release of the built template.
"""

import argparse
import hashlib
import json
import re
import shlex
import sys
import time
import tomllib
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

BUILD = Path(".aws-sam/build")
CONFIGURATION = Path("samconfig.toml")
ENVIRONMENT = "default"  # of samconfig.toml
DIGITS = 12
PATIENCE_S = 120.0
PAUSE_S = 2.0
ANSWER_S = 10.0

# Where the id goes, empty or with the id of a stamp before.
STAMP = re.compile(r"""^( +RELEASE: *)['"]?((?:[0-9a-f]{12})?)['"]?$""", re.MULTILINE)


class NoBuild(Exception):
    """There is nothing that could be deployed; the message says what to do."""


class NotReleased(Exception):
    """A stack does not answer with the release; the message has what it answers."""


def main(arguments: list[str]) -> int:
    """Run one command; a problem becomes one message on stderr and status 1."""
    options = build_parser().parse_args(arguments)
    try:
        if options.command == "stamp":
            parameters = options.parameters or read_parameters(options.configuration, options.environment)
            print(stamp_build(options.build, parameters))
        else:
            print(check(options.url, read_release(read_built_template(options.build)), options.within))
    except (NoBuild, NotReleased, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the options of both commands."""
    parser = argparse.ArgumentParser(prog="python -m tools.release", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    stamping = commands.add_parser("stamp", help="write the release's id into the built template, and print it")
    stamping.add_argument("--configuration", type=Path, default=CONFIGURATION, help="samconfig.toml")
    stamping.add_argument("--environment", default=ENVIRONMENT, help="of samconfig.toml")
    stamping.add_argument("parameters", nargs="*", metavar="NAME=VALUE", help="as they are passed to `sam deploy`")
    checking = commands.add_parser("check", help="wait until a stack reports that release")
    checking.add_argument("url", help="of the API, the stack's output ApiUrl")
    checking.add_argument("--within", type=float, default=PATIENCE_S, help="seconds")
    for command in (stamping, checking):
        command.add_argument("--build", type=Path, default=BUILD, help="what `sam build` has made")
    return parser


def stamp_build(build: Path, parameters: list[str]) -> str:
    """Write a build's release id into its template, and return it. Raise NoBuild, ValueError."""
    text = read_built_template(build)
    release = compute_release(build, parse_parameters(parameters))
    (build / "template.yaml").write_text(insert_release(text, release), encoding="utf-8")
    return release


def read_built_template(build: Path) -> str:
    """Return the text of a build's template. Raise NoBuild if there is none."""
    template = build / "template.yaml"
    if not template.is_file():
        raise NoBuild(f"there is no {template}: run `sam build` first")
    return template.read_text(encoding="utf-8")


def read_parameters(path: Path, environment: str) -> list[str]:
    """Return the parameters of an environment of samconfig.toml, which `sam deploy` takes if it is given none."""
    configuration: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    deployment = configuration.get(environment, {}).get("deploy", {}).get("parameters", {})
    overrides = deployment.get("parameter_overrides", [])
    # `sam deploy --guided` saves one text, with each value in quotes.
    return shlex.split(overrides) if isinstance(overrides, str) else list(overrides)


def parse_parameters(pairs: list[str]) -> dict[str, str]:
    """Return parameters by name. Raise ValueError for what is no NAME=VALUE."""
    if wrong := [pair for pair in pairs if "=" not in pair]:
        raise ValueError(f"not NAME=VALUE: {', '.join(wrong)}")
    return dict(pair.split("=", 1) for pair in pairs)


def compute_release(build: Path, parameters: Mapping[str, str]) -> str:
    """Return the id of a build with parameters; a stamp that the template has already makes no difference."""
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    for path in list_files(build):
        content = path.read_bytes()
        if path == build / "template.yaml":
            content = insert_release(content.decode(), "").encode()
        digest.update(f"\0{path.relative_to(build).as_posix()}\0{hashlib.sha256(content).hexdigest()}".encode())
    return digest.hexdigest()[:DIGITS]


def list_files(build: Path) -> Iterator[Path]:
    """Yield the files of a build in order, but for compiled ones: compiling the same source may give other bytes."""
    yield from (path for path in sorted(build.rglob("*")) if path.is_file() and path.suffix != ".pyc")


def insert_release(template: str, release: str) -> str:
    """Return the text of a template with that release's id. Raise NoBuild if it has no place for one."""
    text, places = STAMP.subn(rf"\g<1>'{release}'", template)
    if not places:
        raise NoBuild("the built template has no variable RELEASE to write the release's id into")
    return text


def read_release(template: str) -> str:
    """Return the release's id that is written in a template. Raise NoBuild if there is none."""
    found = {match[2] for match in STAMP.finditer(template)}
    if len(found) != 1 or found == {""}:
        raise NoBuild("the built template has no release's id: run `make deploy`, or `python -m tools.release stamp`")
    return found.pop()


def check(url: str, release: str, within_s: float = PATIENCE_S) -> str:
    """Ask until the stack's health reports the release, and say so. Raise NotReleased after that many seconds."""
    until = time.monotonic() + within_s
    while (found := fetch_version(url)).rpartition("+")[2] != release:
        if time.monotonic() + PAUSE_S > until:
            raise NotReleased(f"{url}/health reports version {found!r}, not the release {release}")
        time.sleep(PAUSE_S)
    return f"{url}/health reports version {found}"


def fetch_version(url: str) -> str:
    """Return the version that a stack's health reports, or why there is none."""
    try:
        with urllib.request.urlopen(f"{url.rstrip('/')}/health", timeout=ANSWER_S) as answer:  # noqa: S310 - an operator's
            return str(json.load(answer)["version"])
    except (OSError, ValueError, KeyError) as error:
        return f"none: {error}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
