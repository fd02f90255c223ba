"""The store of a report: report.json, from which every page is made."""

from pathlib import Path

from pydantic import TypeAdapter

from stress.model import ReadinessReport

FILE = "report.json"
_REPORT: TypeAdapter[ReadinessReport] = TypeAdapter(ReadinessReport)


def save(report: ReadinessReport, folder: Path) -> Path:
    """Write `folder`/report.json, creating the folder if it is missing; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    path.write_bytes(_REPORT.dump_json(report, indent=1) + b"\n")
    return path


def load(folder: Path) -> ReadinessReport:
    """Return what `save` has written. Raise OSError if there is no file, ValidationError if it is no report."""
    return _REPORT.validate_json((folder / FILE).read_bytes())
