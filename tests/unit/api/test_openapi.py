"""The API's description: the same text whatever Python made it."""

import json

from tools.openapi.__main__ import TARGET, render_description


def test_the_description_kept_is_the_one_that_the_operations_say() -> None:
    # The lane of the oldest Python runs this too: a description kept by one version must be what every version makes.
    assert render_description() == TARGET.read_text(encoding="utf-8")


def test_no_description_carries_the_indent_of_the_code() -> None:
    operations = [o for path in json.loads(render_description())["paths"].values() for o in path.values()]
    indented = [line for o in operations for line in o["description"].splitlines() if line.startswith(" ")]
    assert len(operations) > 30
    assert indented == []
