"""The lineage of a chain of requests, and the count at which it is stopped."""

import pytest
from botocore.handlers import add_recursion_detection_header

from local.runtime.lineage import (
    MOST_INVOCATIONS,
    RecursionStopped,
    continue_chain,
    count_invocations,
    find_longest_chain,
    read_lineage,
    remove_lineage,
)

ROOT = "Root=1-67f6cc3c-2501b4910e004349426d8006"


def run_chain(*functions: str, header: str = "") -> str:
    """The header after invocations of these functions, one causing the next."""
    for function in functions:
        header = continue_chain(header, function)
    return header


def test_the_first_invocation_begins_a_trace_and_counts_from_zero() -> None:
    """As AWS writes it: version 1, eight hexadecimal digits, a count."""
    header = continue_chain("", "relay")
    root, lineage = header.split(";")
    assert root.startswith("Root=1-")
    version, key, count = lineage.removeprefix("Lineage=").split(":")
    assert (version, len(key), count) == ("1", 8, "0")


def test_the_other_fields_of_the_header_are_kept() -> None:
    """The trace stays the same one."""
    header = run_chain("relay", "worker", "relay", header=f"{ROOT};Parent=73146ee07a1ed731;Sampled=0")
    assert header.startswith(f"{ROOT};Parent=73146ee07a1ed731;Sampled=0;Lineage=1:")
    assert sorted(read_lineage(header).values()) == [0, 1]


def test_each_function_of_a_chain_runs_sixteen_times_and_no_more() -> None:
    """Two that invoke each other: the seventeenth invocation of one is the first to be stopped."""
    header = run_chain(*["relay", "worker"] * MOST_INVOCATIONS)
    assert count_invocations(header) == 2 * MOST_INVOCATIONS
    with pytest.raises(RecursionStopped):
        continue_chain(header, "relay")
    assert continue_chain(header, "housekeeping")


@pytest.mark.parametrize(
    ("lineage", "counts"),
    [
        ("1:a87bd80c:1|68fd508a:5", {"a87bd80c": 1, "68fd508a": 5}),
        ("a87bd80c:1|68fd508a:5|c512fbe3:2", {"a87bd80c": 1, "68fd508a": 5, "c512fbe3": 2}),  # before versions
        ("", {}),
        ("nonsense", {}),
        ("1:a87bd80c:many", {}),
    ],
)
def test_both_forms_that_aws_has_used_are_read(lineage: str, counts: dict[str, int]) -> None:
    """A header that can't be read begins a chain."""
    assert read_lineage(f"{ROOT};Sampled=0;Lineage={lineage}") == counts


def test_what_botocore_makes_of_a_header_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """It quotes what Lambda has put into the environment."""
    header = run_chain("members", "relay", "worker")
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "worker")
    monkeypatch.setenv("_X_AMZN_TRACE_ID", header)
    request: dict[str, dict[str, str]] = {"headers": {}}
    add_recursion_detection_header(request)
    assert read_lineage(request["headers"]["X-Amzn-Trace-Id"]) == read_lineage(header)
    assert len(read_lineage(header)) == 3


def test_a_batch_continues_the_longest_of_its_chains() -> None:
    """Messages without a header count as new ones."""
    short, long = run_chain("relay"), run_chain("relay", "worker", "relay")
    assert find_longest_chain(["", short, long, short]) == long
    assert find_longest_chain([]) == ""


def test_a_lineage_can_be_removed() -> None:
    """The trace is kept, and nothing else if there is none."""
    assert remove_lineage(f"{ROOT};Lineage=1:a87bd80c:15;Sampled=0") == f"{ROOT};Sampled=0"
    assert remove_lineage(ROOT) == ROOT
