"""The signed statement of a run: which files of which code gave which result.

It is an in-toto statement with the predicate test-result v0.1, signed with Ed25519 in a DSSE envelope. Whoever has the
public key finds any change of any file of the report; `make verify` does. The private key never leaves this machine.
"""

import base64
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from stress.git_reader import read_git
from stress.model import ReadinessReport

STATEMENT_FILE = "statement.json"
SIGNER_FILE = "signer.pub"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://in-toto.io/attestation/test-result/v0.1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
LAYER = "layers/shared"
TEMPLATE = "template.yaml"
# PASS and FAIL have words of their own there; what could not be judged has none, and must not look like either.
RESULTS = {"PASS": "PASSED", "FAIL": "FAILED", "INVALID": "WARNED", "SKIPPED": "WARNED"}


class UntrueStatement(ValueError):
    """A statement is not ours, or the files are not those that it names; the message says which."""


def sign_report(report: ReadinessReport, folder: Path, root: Path, key_file: Path) -> Path:
    """Write the statement of all files in `folder`, and the public key beside it; return the statement's path.

    `root` is the checkout that was driven. A key is made in `key_file` if there is none.
    """
    key = load_or_make_key(key_file)
    (folder / SIGNER_FILE).write_bytes(_encode_public_key(key))
    return _write_statement(build_statement(report, folder, root), folder, key)


def sign_part(original: Path, part: Path, key_file: Path) -> Path:
    """Sign the copies of some of a report's files, with the original's statement about the run and its code.

    The code may have gone on since, and is not looked at. Raise UntrueStatement unless the original is signed by the
    key, and each copy is as it was signed there; OSError if there is no statement.
    """
    key = load_or_make_key(key_file)
    statement = _read_statement(original, key)
    files = {name: f"report/{name}" for name in (path.name for path in part.iterdir()) if name != STATEMENT_FILE}
    signed = {subject["name"]: subject["digest"].get("sha256") for subject in statement["subject"]}
    if changed := [name for name, subject in files.items() if signed.get(subject) != hash_file(part / name)]:
        raise UntrueStatement(f"not as they were signed: {', '.join(sorted(changed))}")
    kept = [each for each in statement["subject"] if each["name"] in files.values() or not _is_of_report(each)]
    return _write_statement({**statement, "subject": kept}, part, key)


def _is_of_report(subject: dict[str, Any]) -> bool:
    return str(subject["name"]).startswith("report/")


def _read_statement(folder: Path, key: Ed25519PrivateKey) -> dict[str, Any]:
    """Return what a folder's statement says. Raise UntrueStatement unless the key has signed it."""
    envelope = json.loads((folder / STATEMENT_FILE).read_bytes())
    payload = base64.b64decode(envelope["payload"])
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    try:
        key.public_key().verify(signature, encode_for_signing(PAYLOAD_TYPE, payload))
    except InvalidSignature:
        raise UntrueStatement(f"{folder / STATEMENT_FILE} is not signed by this machine's key") from None
    statement: dict[str, Any] = json.loads(payload)
    return statement


def _write_statement(statement: dict[str, Any], folder: Path, key: Ed25519PrivateKey) -> Path:
    payload = json.dumps(statement, indent=1).encode()
    signature = key.sign(encode_for_signing(PAYLOAD_TYPE, payload))
    keyid = hashlib.sha256(_encode_public_key(key)).hexdigest()
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
    }
    path = folder / STATEMENT_FILE
    path.write_text(json.dumps(envelope, indent=1) + "\n", encoding="utf-8")
    return path


def _encode_public_key(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def build_statement(report: ReadinessReport, folder: Path, root: Path) -> dict[str, Any]:
    """Return the statement: its subjects are the code that was driven and every file of the report."""
    files = sorted(path for path in folder.iterdir() if path.is_file() and path.name != STATEMENT_FILE)
    tests: dict[str, list[str]] = {"PASSED": [], "WARNED": [], "FAILED": []}
    for result in report.results:
        tests[RESULTS[result.status]].append(result.key)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [*_describe_code(root), *(_make_subject(f"report/{p.name}", "sha256", hash_file(p)) for p in files)],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "result": RESULTS[report.verdict],
            "configuration": [{"name": f"profile {report.profile}", "annotations": report.settings}],
            "passedTests": tests["PASSED"],
            "warnedTests": tests["WARNED"],
            "failedTests": tests["FAILED"],
        },
    }


def hash_file(path: Path) -> str:
    """Return the file's SHA-256 in hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def encode_for_signing(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed: both values, each after its length (DSSE v1, Pre-Authentication Encoding)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def load_or_make_key(path: Path) -> Ed25519PrivateKey:
    """Return the file's key; make one, which only its owner can read, if there is no file. Raise TypeError."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(made)
    key = load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} is not an Ed25519 key")
    return key


def _describe_code(root: Path) -> list[dict[str, Any]]:
    """Return the subjects that name the code: git's hash of it, with changes not committed, and two of its parts."""
    template = _make_subject(f"code/{TEMPLATE}", "sha256", hash_file(root / TEMPLATE))
    tree = write_tree(root)
    if not tree:
        return [template]
    layer = read_git(root, "rev-parse", f"{tree}:{LAYER}")
    return [_make_subject("code", "gitTree", tree), _make_subject(f"code/{LAYER}", "gitTree", layer), template]


def _make_subject(name: str, algorithm: str, digest: str) -> dict[str, Any]:
    return {"name": name, "digest": {algorithm: digest}}


def write_tree(root: Path) -> str:
    """Return git's hash of the checkout as it is, without touching its index; empty if it is no checkout."""
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        if not read_git(root, "rev-parse", "--git-dir"):
            return ""
        read_git(root, "add", "--all", **index)
        return read_git(root, "write-tree", **index)
