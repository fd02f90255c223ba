"""measurements/controls.json: the last result of each control, signed, so that no result can be edited unnoticed."""

import base64
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from stress.control_record import ControlRecord
from stress.controls.checkout_copies import CannotCopy
from stress.controls.guarded_code import HARNESS, SERVICE, GuardedCode
from stress.controls.model import FILE as CONTROLS
from stress.controls.model import InvalidControl, NegativeControl, read_controls
from stress.git_reader import read_git
from stress.statement import load_or_make_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

FILE = Path("measurements/controls.json")
SIGNING_KEY = Path(".stress/signing-key.pem")  # the one that signs reports
KEPT = tuple(each.name for each in fields(ControlRecord) if each.name != "guards_now")


class EditedRecords(Exception):
    """The file is not as it was signed; the message says what is wrong."""


def read_records(root: Path) -> dict[str, ControlRecord]:
    """Return the last result of each control by its name; none if there is no file. Raise EditedRecords."""
    path = root / FILE
    if not path.exists():
        return {}
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        key = cast("Ed25519PublicKey", load_pem_public_key(document["public_key"].encode()))
        key.verify(base64.b64decode(document["signature"]), _encode(document["controls"]))
        return {each["name"]: ControlRecord(**each) for each in document["controls"]}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InvalidSignature) as error:
        raise EditedRecords(f"{FILE} is not as it was signed ({type(error).__name__} {error})".rstrip()) from error


def merge_records(root: Path, new: Iterable[ControlRecord], controls: Sequence[NegativeControl]) -> None:
    """Write the new results in place of those of the same controls, and drop those of controls that are gone.

    Raise EditedRecords.
    """
    merged = read_records(root) | {record.name: record for record in new}
    kept = [_to_kept(merged[control.name]) for control in controls if control.name in merged]
    key = load_or_make_key(root / SIGNING_KEY)
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    document = {
        "controls": kept,
        "public_key": public.decode(),
        "signature": base64.b64encode(key.sign(_encode(kept))).decode(),
    }
    (root / FILE).parent.mkdir(exist_ok=True)
    (root / FILE).write_text(json.dumps(document, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _to_kept(record: ControlRecord) -> dict[str, Any]:
    return {name: value for name, value in asdict(record).items() if name in KEPT}


def _encode(controls: object) -> bytes:
    return json.dumps(controls, sort_keys=True, separators=(",", ":")).encode()


def describe_commit(root: Path) -> str:
    """Return the checkout's commit, and whether what controls guard differs from it."""
    commit = read_git(root, "rev-parse", "--short=12", "HEAD") or "unknown"
    changed = read_git(root, "status", "--porcelain", "--", *SERVICE, *HARNESS)
    return f"{commit} with changes" if changed else commit


def list_records(root: Path) -> list[ControlRecord]:
    """Return the last result of each control that there is, with digests of the code as it is now, for a report.

    One that has no result, or none that can be believed, is among them and says so.
    """
    try:
        controls, code = read_controls(CONTROLS.read_text(encoding="utf-8")), GuardedCode(root)
    except (CannotCopy, InvalidControl):
        return []
    try:
        found, trouble = read_records(root), ""
    except EditedRecords as error:
        found, trouble = {}, str(error)
    return [replace(_find_record(control, found, trouble), guards_now=code.describe(control)) for control in controls]


def _find_record(control: NegativeControl, found: dict[str, ControlRecord], trouble: str) -> ControlRecord:
    never = ControlRecord(control.name, control.scenario, control.why)
    return found.get(control.name, replace(never, outcome=trouble) if trouble else never)
