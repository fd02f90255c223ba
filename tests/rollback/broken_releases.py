"""Releases of functions' own code with something broken, each in a folder of its own."""

import shutil
from pathlib import Path

from tests.services import ROOT

# What is appended to the module of a function's handler. The check of a release has to pass, but where nothing starts:
# its caller has no account, and its message no job.
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
    # The page is read, and can't be shown.
    "every list fails": """
_list_page = list_page

def list_page(*arguments, **options):
    _list_page(*arguments, **options)
    raise RuntimeError("a broken release")
""",
    "raises after a list": """
_handler = handler

def handler(event, context):
    answer = _handler(event, context)
    if event.get("httpMethod") == "GET" and answer["statusCode"] == 200:
        raise RuntimeError("a broken release")
    return answer
""",
    # The worker reports the job's message as failed, and Lambda an invocation that succeeded.
    "every mail fails": """
def _fail(*_arguments, **_options):
    raise RuntimeError("a broken release")

JobRunner._send_mail = _fail
""",
    # The jobs are done, and all of their messages come again.
    "raises after its jobs": """
_handler = handler

def handler(event, context):
    answer = _handler(event, context)
    if "00000000-0000-0000-0000-000000000000" not in event["Records"][0]["body"]:
        raise RuntimeError("a broken release")
    return answer
""",
    "does not start": """
raise ImportError("a broken release")
""",
    "nothing": """
# Another version, and no other behaviour.
""",
    # These two don't pass a release's check. They are for the alarms, which must see each function break.
    "answers with 5xx": """
def _fail(*_arguments, **_options):
    raise RuntimeError("a broken release")

if "api" in globals():
    api._find_operation = _fail
else:
    JobRunner.run_job = _fail
""",
    "raises": """
def handler(event, context):
    raise RuntimeError("a broken release")
""",
}


def make_release(folder: Path, functions: tuple[str, ...], broken: str) -> Path:
    """Return a folder with the code of some functions, by their packages, broken in the named way."""
    for function in functions:
        code = folder / "functions" / function
        shutil.copytree(ROOT / "functions" / function, code)
        app = code / function / "app.py"
        app.write_text(app.read_text(encoding="utf-8") + BREAKS[broken], encoding="utf-8")
    return folder
