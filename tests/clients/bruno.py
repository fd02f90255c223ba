"""The parts of Bruno's file format that the collection uses, and what Bruno does with them.

Whatever is written in another way is refused, so that nothing of a file is passed over.
"""

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

BLOCK = re.compile(r"^([\w:-]+) \{\n(.*?)^\}", re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"\{\{(\$?\w+)\}\}")
PAIR = re.compile(r"  (?P<name>[^\s:]+): (?P<value>.+)")
SAVED = re.compile(r'  bru\.setEnvVar\("(\w+)", res\.body((?:\.\w+|\["[\w-]+"\])+)(?: \|\| "")?\);')
ASSERTED = re.compile(r"  res\.(status|body)((?:\.\w+)*): eq (.+)")
STEP = re.compile(r'\.(\w+)|\["([\w-]+)"\]')
FILE = re.compile(r"@file\((.+)\)")
METHODS = ("get", "post", "put", "patch", "delete")
READ_ALONE = ("meta", "docs")  # for the person who looks at the request


class NotUnderstood(Exception):
    """A part of a file that Bruno may understand, but this program does not; the message has it."""


@dataclass(frozen=True)
class BrunoRequest:
    """A request of the collection: the text of its blocks by their names."""

    path: Path
    blocks: Mapping[str, str]

    @classmethod
    def read(cls, path: Path) -> "BrunoRequest":
        """Return it, of a file. Raise NotUnderstood for text outside of blocks."""
        text = path.read_text(encoding="utf-8")
        if rest := BLOCK.sub("", text).strip():
            raise NotUnderstood(f"{path.name}: {rest}")
        return cls(path, dict(BLOCK.findall(text)))

    def read_pairs(self, block: str) -> dict[str, str]:
        """Return the lines of a block as names and values. Raise NotUnderstood."""
        found = [_match(self.path, PAIR, line) for line in self.blocks.get(block, "").splitlines()]
        return {match[1]: match[2] for match in found}

    @property
    def method(self) -> str:
        """Return the method, in small letters, which is the name of a block."""
        [method] = [name for name in METHODS if name in self.blocks]
        return method

    def list_unknown_blocks(self) -> set[str]:
        """Return the names of blocks that are not sent, judged or saved here."""
        known = {"headers", "auth:bearer", "body:json", "body:multipart-form", "script:post-response", "assert"}
        return set(self.blocks) - known - {self.method, *READ_ALONE}


@dataclass
class BrunoRun:
    """A run of requests one after another; `variables` are those of the environment, and what answers have added."""

    folder: Path
    variables: dict[str, str]
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=30))

    def send(self, request: BrunoRequest) -> list[str]:
        """Send a request, keep what it wants kept, and return which of its assertions do not hold."""
        if unknown := request.list_unknown_blocks():
            raise NotUnderstood(f"{request.path.name}: {unknown}")
        call = request.read_pairs(request.method)
        answer = self.http.request(
            request.method.upper(),
            self.fill(call["url"]),
            headers=self._make_headers(request),
            **self._make_body(request),
        )
        wrong = self._list_wrong(request, answer)
        if not wrong:
            self._save(request, answer)
        return [f"{line.strip()}, but: {answer.status_code} {answer.text}" for line in wrong]

    def fill(self, text: str) -> str:
        """Return a text with its variables' values. Raise NotUnderstood for one that has none."""

        def find(found: re.Match[str]) -> str:
            if found[1] == "$randomUUID":
                return str(uuid.uuid4())
            if found[1] not in self.variables:
                raise NotUnderstood(f"no value for {found[0]}")
            return self.variables[found[1]]

        return VARIABLE.sub(find, text)

    def _make_headers(self, request: BrunoRequest) -> dict[str, str]:
        headers = {name: self.fill(value) for name, value in request.read_pairs("headers").items()}
        if token := request.read_pairs("auth:bearer").get("token"):
            headers["Authorization"] = f"Bearer {self.fill(token)}"
        if "body:json" in request.blocks:
            headers["Content-Type"] = "application/json"
        return headers

    def _make_body(self, request: BrunoRequest) -> dict[str, Any]:
        if form := request.read_pairs("body:multipart-form"):
            parts = {name: FILE.fullmatch(value) for name, value in form.items()}
            files = {name: (found[1], (self.folder / found[1]).read_bytes()) for name, found in parts.items() if found}
            return {"data": {n: self.fill(v) for n, v in form.items() if not parts[n]}, "files": files}
        return {"content": self.fill(request.blocks.get("body:json", "")).encode()}

    def _list_wrong(self, request: BrunoRequest, answer: httpx.Response) -> list[str]:
        wrong = []
        for line in request.blocks["assert"].splitlines():
            part, path, wanted = _match(request.path, ASSERTED, line).groups()
            found = answer.status_code if part == "status" else _look_up(answer.json(), path)
            wrong += [] if str(found) == wanted else [line]
        return wrong

    def _save(self, request: BrunoRequest, answer: httpx.Response) -> None:
        for line in request.blocks.get("script:post-response", "").splitlines():
            name, path = _match(request.path, SAVED, line).groups()
            self.variables[name] = str(_look_up(answer.json(), path) or "")


def _match(path: Path, pattern: re.Pattern[str], line: str) -> re.Match[str]:
    found = pattern.fullmatch(line)
    if found is None:
        raise NotUnderstood(f"{path.name}: {line}")
    return found


def _look_up(document: Any, path: str) -> Any:
    """Return what JavaScript finds at a path such as .upload.fields["key"] or .items.length; None for nothing."""
    for name, quoted in STEP.findall(path):
        if name == "length" and isinstance(document, list):
            document = len(document)
        else:
            document = document.get(name or quoted) if isinstance(document, dict) else None
    return document
