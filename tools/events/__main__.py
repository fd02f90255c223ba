"""The command that writes events/.

PYTHONPATH=layers/shared python -m tools.events           write the event of every route and trigger
PYTHONPATH=layers/shared python -m tools.events --check   say whether they are what the template needs
"""

import sys
from collections.abc import Sequence

from tools.events.event_files import SampleMissing, list_events
from tools.pages import ROOT

FOLDER = ROOT / "events"


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with --check compare them; return 1 if one is missing, different or left over."""
    try:
        wanted = {event.path: event.text for event in list_events()}
    except SampleMissing as error:
        print(error, file=sys.stderr)
        return 1
    kept = {path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.json")}
    stale = sorted(path for path in wanted.keys() | kept.keys() if wanted.get(path) != kept.get(path))
    if "--check" in arguments:
        for path in stale:
            print(f"events/{path} is out of date: run make events", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        if path in wanted:
            (FOLDER / path).parent.mkdir(parents=True, exist_ok=True)
            (FOLDER / path).write_text(wanted[path], encoding="utf-8")
        else:
            (FOLDER / path).unlink()
    print(f"wrote {len(stale)} of {len(wanted)} events")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
