"""The last requests, read from the gateway's access log and the functions' logs."""

import contextlib
import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from local.front.model import RequestLine, TraceStep, format_time

ACCESS_LOG = "access"
NOT_KNOWN = "-"  # as the gateway writes it
DOCUMENTATION = frozenset({"/docs", "/openapi.json"})  # each look at the docs page asks for both
# Logs are read from their end. A line has some 500 bytes, so this finds the last requests also while others are made.
RECENT_BYTES = 512 * 1024
TRACE_BYTES = 8 * 1024 * 1024  # for one id, which may be older
REQUEST = b'"request"'
ID_FIELDS = ("request_id", "trace_id", "gateway_id")
# fields of a log line that each line has, or that the page shows by its links
COMMON_FIELDS = frozenset({
    "level", "location", "message", "timestamp", "service", "request_id", "trace_id", "span_id", "parent_span_id",
    "xray_trace_id", "gateway_id",
})  # fmt: skip


def read_tail(path: Path, most: int) -> list[bytes]:
    """Return the whole lines of a file's last `most` bytes; none if there is no such file."""
    try:
        with path.open("rb") as log:
            begin = max(0, log.seek(0, 2) - most)
            log.seek(begin)
            lines = log.read().splitlines()
    except OSError:
        return []
    return lines[1:] if begin else lines


def read_recent_requests(logs: Path, count: int) -> list[RequestLine]:
    """Return the last requests, newest first, without those that only show the API's documentation."""
    documents = _read_documents(read_tail(logs / f"{ACCESS_LOG}.log", RECENT_BYTES), b"{")
    answers = [each for each in documents if each.get("route") not in DOCUMENTATION or is_failure(each)][-count:]
    return _join_functions(answers, list_function_logs(logs), RECENT_BYTES)


def is_failure(answer: Mapping[str, Any]) -> bool:
    """Return whether a line of the access log is of an answer with a status of 400 or more."""
    return str(answer.get("status")) >= "400"


def find_requests(logs: Path, wanted: str) -> list[RequestLine]:
    """Return the requests with an id, newest first: the client's, the gateway's, or that of their trace."""
    named = {document["gateway_id"] for _, document in _find_lines(logs, {wanted}) if "gateway_id" in document}
    answers = [
        document
        for document in _read_documents(read_tail(logs / f"{ACCESS_LOG}.log", TRACE_BYTES), b"{")
        if document.get("gateway_id") in named | {wanted} or document.get("trace_id") == wanted
    ]
    return _join_functions(answers, list_function_logs(logs), TRACE_BYTES)


def list_function_logs(logs: Path) -> list[Path]:
    """Return the logs of the functions."""
    return sorted(logs.glob("*Function.log"))


def find_log_steps(logs: Path, wanted: set[str]) -> list[TraceStep]:
    """Return what functions have logged with one of these ids, in no order."""
    return [_make_step(path.stem, document) for path, document in _find_lines(logs, wanted) if "timestamp" in document]


def _find_lines(logs: Path, wanted: set[str]) -> Iterator[tuple[Path, dict[str, Any]]]:
    texts = [each.encode() for each in wanted]
    for path in list_function_logs(logs):
        for document in _read_documents(read_tail(path, TRACE_BYTES), *texts):
            if wanted & {document.get(name) for name in ID_FIELDS}:
                yield path, document


def _read_documents(lines: list[bytes], *having: bytes) -> Iterator[dict[str, Any]]:
    """Yield the JSON objects among the lines that contain one of these; other lines are output of another kind."""
    for line in lines:
        if any(text in line for text in having):
            with contextlib.suppress(ValueError):
                document = json.loads(line)
                if isinstance(document, dict):
                    yield document


def _join_functions(answers: list[dict[str, Any]], logs: list[Path], most: int) -> list[RequestLine]:
    wanted = {answer.get("gateway_id") for answer in answers}
    calls: dict[str, tuple[str, dict[str, Any]]] = {}
    for path in logs if wanted else []:
        for document in _read_documents(read_tail(path, most), REQUEST):
            if document.get("message") == "request" and document.get("gateway_id") in wanted:
                calls[document["gateway_id"]] = path.stem, document
    lines = []
    for answer in answers:
        function, call = calls.get(answer.get("gateway_id", ""), ("", {}))
        with contextlib.suppress(KeyError, ValueError):
            lines.append(_make_request(answer, function, call))
    return lines[::-1]


def _make_request(answer: Mapping[str, str], function: str, call: Mapping[str, Any]) -> RequestLine:
    refused_as = answer["refused_as"]
    return RequestLine(
        request_id=str(call.get("request_id", answer["gateway_id"])),
        gateway_id=answer["gateway_id"],
        trace_id=str(call.get("trace_id", answer["trace_id"])),
        at=format_time(int(answer["time_ms"]) / 1000),
        method=answer["method"],
        route="(no such route)" if answer["route"] == NOT_KNOWN else answer["route"],
        status=int(answer["status"]),
        latency_ms=int(answer["latency_ms"]),
        function=function,
        refused_as="" if refused_as == NOT_KNOWN else refused_as,
    )


def _make_step(function: str, document: dict[str, Any]) -> TraceStep:
    facts = {name: value for name, value in document.items() if name not in COMMON_FIELDS}
    if "frames" in facts:
        facts["frames"] = " < ".join(reversed(facts["frames"]))
    at = format_time(datetime.fromisoformat(document["timestamp"]).timestamp())
    return TraceStep(at, "log", function, str(document.get("message", "")), facts)
