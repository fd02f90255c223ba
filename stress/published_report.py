"""The published report, measurements/readiness/: the files of a full run that anyone may have, and the page of it."""

import gzip
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from stress import published_claims, report_builder, statement
from stress.control_record import PUBLISHED, find_doubt
from stress.function_log import ARCHIVE_FILE
from stress.published_claims import PAGE, REPORT
from stress.report import store

# Logs are for whoever asks why a run did not pass. No figure is computed from them, and their lines name files of the
# machine that made them.
UNPUBLISHED = (ARCHIVE_FILE,)
HOMES = r"/(?:home|Users)/\w+"  # of anybody, on Linux and macOS


class OutdatedControls(Exception):
    """The controls prove nothing about the code that the run drove; the message says why."""


class MachineNamed(Exception):
    """A file that was to be published names a folder of this machine; the message says which."""


def publish(folder: Path, root: Path, *, marked: bool = False) -> None:
    """Copy a run's report but its logs, sign the copy, and write the page of it.

    A run whose controls are missing or older than its code is refused, unless its page is to be `marked` as INVALID.
    Given the published report itself, after a claim or a control has changed, write only the page.

    Raise UnknownEvidence, OutdatedControls, UntrueStatement or MachineNamed, before anything has changed; or OSError.
    """
    report = store.load(folder)
    text = published_claims.build_page(report, published_claims.read_published_claims(), root)
    published = root / REPORT
    if not (published.exists() and published.samefile(folder)):
        if not marked and (doubt := find_doubt(PUBLISHED, report.controls)):
            raise OutdatedControls(f"{doubt} Run `make stress-controls`, and then the full run again.")
        _replace_report(folder, published, root)
    (root / PAGE).write_text(text, encoding="utf-8")


def _replace_report(folder: Path, published: Path, root: Path) -> None:
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made) / "report"
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*UNPUBLISHED))
        statement.sign_part(folder, copy, report_builder.SIGNING_KEY)
        if named := list(find_machine(copy, root)):
            raise MachineNamed(f"{named[0]}, and {len(named) - 1} more" if len(named) > 1 else named[0])
        if published.exists():
            shutil.rmtree(published)  # a file of the run before is none of this one's
        shutil.copytree(copy, published)


def find_machine(folder: Path, root: Path) -> Iterator[str]:
    """Yield which files name the checkout, or a home, of the machine on which they were made, and how."""
    places = [str(place) for place in (root.resolve(), Path.home()) if place != Path(place.anchor)]
    pattern = re.compile("|".join([*(rf"{re.escape(place)}(?![\w-])" for place in places), HOMES]))
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        for found in sorted(set(pattern.findall(content.decode("utf-8", errors="replace")))):
            yield f"{path.name} names {found}"
