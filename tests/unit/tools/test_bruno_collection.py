"""The Bruno collection calls operations that exist, with bodies that the description allows."""

import json
import re
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from tests.services import ROOT
from tools.openapi.__main__ import TARGET

DESCRIPTION: dict[str, Any] = json.loads(TARGET.read_text(encoding="utf-8"))
FILES = sorted((ROOT / "clients/bruno").glob("*/*.bru"))
REQUESTS = [file for file in FILES if file.parent.name != "environments"]
STORE = "{{upload_url}}"  # the one request that is not to the API
# The values of variables when a request is sent; any word will do for the others.
SAMPLES = {"referral_code": "ARTA-7K3F", "run": "x"}


def read_block(text: str, name: str) -> str:
    """Return the lines of a block of a .bru file, empty if it has none."""
    found = re.search(rf"^{re.escape(name)} \{{\n(.*?)^\}}", text, re.M | re.S)
    return found[1] if found else ""


def read_call(text: str) -> tuple[str, str]:
    """Return the method and the URL of a request."""
    found = re.search(r"^(get|post|put|patch|delete) \{\n  url: (\S+)", text, re.M)
    assert found, text
    return found[1], found[2]


def find_operation(method: str, url: str) -> dict[str, Any]:
    """Return the described operation of a URL whose ids are variables."""
    path = re.sub(r"\{\{(\w+)\}\}", r"{\1}", url.removeprefix("{{api}}"))
    operation: dict[str, Any] = DESCRIPTION["paths"][path][method]
    return operation


@pytest.mark.parametrize("file", REQUESTS, ids=lambda file: file.stem)
def test_a_request_is_one_of_the_description(file: Path) -> None:
    """Its path, its body, its headers, and a status that it may be answered with."""
    text = file.read_text(encoding="utf-8")
    method, url = read_call(text)
    status = re.search(r"res\.status: eq (\d+)", text)
    assert status
    if url == STORE:
        return
    operation = find_operation(method, url)
    assert status[1] in operation["responses"]
    assert ("Idempotency-Key: {{$randomUUID}}" in read_block(text, "headers")) == (method != "get")
    if body := read_block(text, "body:json"):
        sent = json.loads(re.sub(r"\{\{(\w+)\}\}", lambda found: SAMPLES.get(found[1], "word"), body))
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        jsonschema_rs.validator_for({**schema, "components": DESCRIPTION["components"]}).validate(sent)


def test_the_collection_is_the_whole_tour() -> None:
    """Eleven requests, in the order in which the tour makes them."""
    assert len(REQUESTS) == 11
    assert [file.name[:2] for file in REQUESTS] == ["01", "02", "03", "01", "02", "03", "04", "05", "06", "07", "08"]


def test_the_file_that_is_uploaded_has_the_size_that_is_announced() -> None:
    [announcement] = [file for file in REQUESTS if file.stem.endswith("Announce a document")]
    size = re.search(r'"size": (\d+)', announcement.read_text(encoding="utf-8"))
    assert size
    assert (ROOT / "clients/bruno/boarding-pass.txt").stat().st_size == int(size[1])
