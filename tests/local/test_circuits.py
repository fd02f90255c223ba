"""What `make circuits` prints of the jobs that wait for a circuit."""

import pytest

from local.circuits import describe_release, format_table

HELD_OPEN = {"state": "open", "held_jobs": 2, "held_until": None}
PROBED = {"state": "open", "held_jobs": 2, "held_until": "2026-11-27T12:01:00Z"}


@pytest.mark.parametrize(
    ("circuit", "released", "words"),
    [
        ({"state": "closed", "held_jobs": 0}, 3, "3 waiting jobs leave now."),
        ({"state": "open", "held_jobs": 0}, 1, "1 waiting job leaves now."),
        ({**HELD_OPEN, "held_jobs": 1}, 0, "1 job waits until the circuit is forced closed, or made automatic."),
        ({"state": "open", "held_jobs": 0}, 3, "3 waiting jobs leave now: one first, as the probe;"),
        ({"state": "closed", "held_jobs": 0, "held_until": None}, 0, "No job waits for it."),
        (PROBED, 0, "2 jobs wait: the first is tried at 2026-11-27T12:01:00Z."),
        (HELD_OPEN, 0, "2 jobs wait until the circuit is forced closed, or made automatic."),
        ({"state": "closed", "held_jobs": None, "held_until": None}, None, "the database did not answer"),
    ],
)
def test_an_operator_is_told_when_the_waiting_jobs_leave(
    circuit: dict[str, object], released: int | None, words: str
) -> None:
    """Now, at the probe's time, or not before somebody does something."""
    assert words in describe_release(circuit, released)


@pytest.mark.parametrize(("released", "words"), [(1, "1 waiting job leaves"), (3, "3 waiting jobs leave")])
def test_an_operator_is_told_if_nothing_leaves_before_the_schedule(released: int, words: str) -> None:
    """The relay was not woken, since SQS did not take the message."""
    told = describe_release({"state": "closed", "held_jobs": 0}, released, woken=False)
    assert told.startswith(f"{words} within a minute: ")


def test_the_table_shows_what_waits_for_each_circuit() -> None:
    """What is not known, or is not there, is a dash."""
    facts = {"forced": False, "since": None, "probe_at": None, "failures": 0, "generation": 1, "oldest_held_s": 57.2}
    head, row = format_table({"email": {**facts, **PROBED}}).splitlines()
    assert head.split() == [
        "circuit", "state", "forced", "since", "probe_at", "failures", "generation", "held_jobs", "oldest_held_s",
        "held_until",
    ]  # fmt: skip
    assert row.split() == ["email", "open", "no", "-", "-", "0", "1", "2", "57.2", "2026-11-27T12:01:00Z"]
