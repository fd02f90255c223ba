"""Following a log: through its growth, and through what is done to it."""

from pathlib import Path

from local.events.log_tail import CHUNK, LogTail


class TailedLog:
    """A log, its tail, and what that has passed on."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: list[bytes] = []
        self.tail = LogTail(path, lambda lines: self.seen.extend(lines.splitlines()))

    def write(self, data: bytes) -> None:
        """Appends, and looks."""
        with self.path.open("ab") as file:
            file.write(data)
        self.tail.read_new()


def test_a_tail_begins_at_the_end_of_what_is_there(tmp_path: Path) -> None:
    """It leaves out earlier lines."""
    (tmp_path / "log").write_bytes(b"old\n")
    log = TailedLog(tmp_path / "log")
    log.write(b"new\n")
    assert log.seen == [b"new"]


def test_a_line_read_in_two_parts_is_one_line(tmp_path: Path) -> None:
    """Its first half waits for the second."""
    log = TailedLog(tmp_path / "log")
    log.write(b"whole\nha")
    assert log.seen == [b"whole"]
    log.write(b"lf\n")
    assert log.seen == [b"whole", b"half"]


def test_a_log_that_comes_later_is_read_from_its_start(tmp_path: Path) -> None:
    """It is missing when the tail begins."""
    log = TailedLog(tmp_path / "log")
    assert not log.tail.read_new()
    log.write(b"first\n")
    assert log.seen == [b"first"]


def test_a_rotated_log_is_read_to_its_end_and_then_the_new_one(tmp_path: Path) -> None:
    """Nothing is lost of either, though the old one is still written to; its unfinished line is no part of the new."""
    log = TailedLog(tmp_path / "log")
    log.write(b"one\n")
    moved = tmp_path / "log.1"
    log.path.rename(moved)
    log.tail.read_new()
    with moved.open("ab") as file:
        file.write(b"two\nunfinished")
    log.tail.read_new()
    assert log.seen == [b"one", b"two"]
    log.write(b"three\n")
    assert log.seen == [b"one", b"two", b"unfinished", b"three"]


def test_a_log_cut_short_is_read_from_its_start(tmp_path: Path) -> None:
    """A log is cut short when it is copied away and emptied."""
    log = TailedLog(tmp_path / "log")
    log.write(b"a long line\n")
    log.path.write_bytes(b"")
    log.write(b"new\n")
    assert log.seen == [b"a long line", b"new"]


def test_a_tail_says_when_there_is_more(tmp_path: Path) -> None:
    """A chunk at a time, so that no log holds up the others."""
    log = TailedLog(tmp_path / "log")
    log.path.write_bytes(b"x" * (CHUNK - 1) + b"\nlast\n")
    assert [log.tail.read_new(), log.tail.read_new(), log.tail.read_new()] == [True, False, False]
    assert log.seen == [b"x" * (CHUNK - 1), b"last"]
