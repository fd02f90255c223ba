"""Releases of a function's own code with something broken, each in a folder of its own."""

import shutil
from pathlib import Path

from tests.services import ROOT

# What is appended to the handler's module.
BREAKS = {
    # An ordinary answer of the function, with status 500.
    "every write fails": """
def _fail(*_arguments, **_options):
    raise RuntimeError("a broken release")

service.register_member = _fail
""",
    # Lambda counts an error; the client gets 502, and can't know whether it was done.
    "raises after the commit": """
_handler = handler

def handler(event, context):
    answer = _handler(event, context)
    if event.get("httpMethod") == "POST":
        raise RuntimeError("a broken release")
    return answer
""",
    "does not start": """
raise ImportError("a broken release")
""",
    "nothing": """
# Another version, and no other behaviour.
""",
}


def make_release(folder: Path, function: str, broken: str) -> Path:
    """Return a folder with one function's code, broken in the named way."""
    code = folder / "functions" / function
    shutil.copytree(ROOT / "functions" / function, code)
    app = code / function / "app.py"
    app.write_text(app.read_text(encoding="utf-8") + BREAKS[broken], encoding="utf-8")
    return folder
