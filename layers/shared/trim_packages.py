"""Cut the layer's installed packages down to what the functions use, as contents.toml beside this file says.

    python trim_packages.py FOLDER

A new environment reads botocore's data before its first call: it lists the folder of 440 services, and unpacks and
parses the whole description of each service that a client is made of. What stays here are the services and operations
that are used, without their documentation, as plain JSON. Both builds of the layer run this, by Python 3.11 or newer.
"""

import gzip
import json
import shutil
import sys
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

CONTENTS = Path(__file__).with_name("contents.toml")
MODEL, RULES, ENDPOINTS = "service-2", "endpoint-rule-set-1", "endpoints.json"


class NothingFoundError(Exception):
    """A pattern of what is left out finds nothing: the packages have changed, and so must contents.toml."""


def trim_packages(folder: Path) -> None:
    """Cut the packages installed in a folder. Raise NothingFoundError, and KeyError for an unknown operation."""
    contents = read_contents()
    for pattern in (each for braced in contents["left_out"] for each in list_alternatives(braced)):
        found = list(folder.glob(pattern))
        if not found:
            raise NothingFoundError(pattern)
        for path in found:
            remove(path)
    trim_botocore(folder / "botocore/data", contents["operations"])


def read_contents() -> dict[str, Any]:
    """Return what stays and what doesn't, as contents.toml has it."""
    return tomllib.loads(CONTENTS.read_text(encoding="utf-8"))


def list_alternatives(pattern: str) -> list[str]:
    """Return the patterns that one with alternatives in braces stands for."""
    before, brace, rest = pattern.partition("{")
    alternatives, _, after = rest.partition("}")
    return [before + each + after for each in alternatives.split(",")] if brace else [pattern]


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def trim_botocore(data: Path, operations: Mapping[str, Iterable[str]]) -> None:
    """Keep each service's latest description, cut to its operations, and the endpoints of these services."""
    for folder in [path for path in data.iterdir() if path.is_dir() and path.name not in operations]:
        shutil.rmtree(folder)
    prefixes = {trim_service(data / service, wanted) for service, wanted in operations.items()}
    endpoints = data / ENDPOINTS
    write_json(endpoints, cut_endpoints(read_json(endpoints), prefixes))


def trim_service(folder: Path, operations: Iterable[str]) -> str:
    """Keep the latest version's model and rules of endpoints, and return the service's name in the endpoints."""
    *older, latest = sorted(folder.iterdir())
    for version in older:
        shutil.rmtree(version)
    model = merge_extras(read_data(latest, MODEL), map(read_json, latest.glob("service-2.sdk-extras.*")))
    rules = read_data(latest, RULES)
    shutil.rmtree(latest)
    latest.mkdir()
    write_json(latest / f"{MODEL}.json", cut_model(model, operations))
    write_json(latest / f"{RULES}.json", rules)
    return str(model["metadata"]["endpointPrefix"])


def merge_extras(model: dict[str, Any], extras: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the model with the corrections that botocore ships beside it."""
    for extra in extras:
        merge(model, extra.get("merge", {}))
    return model


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Add keys in depth, as botocore.utils.deep_merge does."""
    for key, value in more.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            merge(into[key], value)
        else:
            into[key] = value


def cut_model(model: Mapping[str, Any], operations: Iterable[str]) -> dict[str, Any]:
    """Return the model with these operations, the shapes that they reach, and no documentation."""
    kept = {name: drop_words(model["operations"][name]) for name in operations}
    shapes: dict[str, Any] = {}
    waiting = [name for operation in kept.values() for name in list_references(operation)]
    while waiting:
        name = waiting.pop()
        if name not in shapes:
            shapes[name] = cut_shape(model["shapes"][name])
            waiting += list_references(shapes[name])
    rest = {key: value for key, value in model.items() if key not in ("documentation", "operations", "shapes")}
    return {**rest, "operations": kept, "shapes": shapes}


def cut_shape(shape: Mapping[str, Any]) -> dict[str, Any]:
    """Return a shape without documentation; a member of that name stays."""
    cut = drop_words(shape)
    if "members" in cut:
        cut["members"] = {name: drop_words(member) for name, member in cut["members"].items()}
    for part in cut.keys() & {"member", "key", "value"}:
        cut[part] = drop_words(cut[part])
    return cut


def drop_words(part: Mapping[str, Any]) -> dict[str, Any]:
    """Return a part of a model without its own documentation."""
    return {key: value for key, value in part.items() if key not in ("documentation", "documentationUrl")}


def list_references(part: Mapping[str, Any]) -> list[str]:
    """Return the names of the shapes that an operation or a shape refers to."""
    references = [part[key] for key in ("input", "output", "member", "key", "value") if key in part]
    references += [*part.get("members", {}).values(), *part.get("errors", ())]
    return [reference["shape"] for reference in references]


def cut_endpoints(endpoints: dict[str, Any], prefixes: set[str]) -> dict[str, Any]:
    """Return the endpoints of these services alone, in every partition."""
    for partition in endpoints["partitions"]:
        partition["services"] = {name: each for name, each in partition["services"].items() if name in prefixes}
    return endpoints


def read_data(folder: Path, name: str) -> dict[str, Any]:
    """Return a file of botocore's data, which may be packed."""
    packed, plain = folder / f"{name}.json.gz", folder / f"{name}.json"
    content: dict[str, Any] = json.loads(
        gzip.decompress(packed.read_bytes()) if packed.exists() else plain.read_bytes()
    )
    return content


def read_json(path: Path) -> dict[str, Any]:
    """Return the content of a JSON file."""
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content


def write_json(path: Path, content: object) -> None:
    """Write JSON without spaces, so that the same input gives the same bytes."""
    path.write_text(json.dumps(content, separators=(",", ":")), encoding="utf-8")


if __name__ == "__main__":
    trim_packages(Path(sys.argv[1]))
