"""The publisher that puts the metrics in the functions' logs to CloudWatch, as CloudWatch Logs does on AWS."""

import logging
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from local.events.cloudwatch import MAX_DATA_PER_CALL, CloudWatch, MetricsRejected
from local.events.embedded_metrics import MetricDatum, read_metrics
from local.events.log_tail import LogTail

POLL_S = 0.5
BACKOFF_S = (0.5, 1.0, 2.0, 5.0)  # between attempts while the emulator is unreachable or fails

log = logging.getLogger(__name__)


class MetricPublisher:
    """The publisher of the metrics that are written to logs after this object was made, until `stop` is set.

    While the emulator of CloudWatch is unreachable or fails, it reads no further: later metrics wait in the log files.
    What it has read but not put when `stop` is set is lost.
    """

    def __init__(self, logs: Iterable[Path], cloudwatch: CloudWatch, stop: threading.Event) -> None:
        self._found: list[MetricDatum] = []
        self._tails = [LogTail(path, lambda lines: self._found.extend(read_metrics(lines))) for path in logs]
        self._cloudwatch = cloudwatch
        self._stop = stop

    def run(self) -> None:
        """Read and publish until `stop` is set."""
        may_have_more = False
        while not self._stop.wait(0 if may_have_more else POLL_S):
            # A list: with a generator `any` would stop at the first log that may have more, and not read the others.
            logs_may_have_more = [tail.read_new() for tail in self._tails]
            may_have_more = any(logs_may_have_more)
            for namespace, data in split_batches(self._found):
                self._put_batch(namespace, data)
            self._found.clear()

    def _put_batch(self, namespace: str, data: list[MetricDatum]) -> None:
        """Put the metrics; retry while the emulator is unreachable or fails, until `stop` is set."""
        failures = 0
        while not self._stop.is_set() and not self._try_put(namespace, data):
            self._stop.wait(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1

    def _try_put(self, namespace: str, data: list[MetricDatum]) -> bool:
        """Try to put the metrics; return False if another attempt may succeed. Drop metrics that are rejected."""
        try:
            self._cloudwatch.put_metrics(namespace, data)
        except MetricsRejected as error:
            log.warning("%s: %d metrics refused: %s", namespace, len(data), error)
        except OSError as error:
            log.warning("%s: metrics wait: %s", namespace, error)
            return False
        return True


def split_batches(found: Iterable[MetricDatum]) -> Iterator[tuple[str, list[MetricDatum]]]:
    """Yield batches of one namespace each, as few as PutMetricData allows."""
    for namespace, group in groupby(sorted(found, key=_read_namespace), _read_namespace):
        data = list(group)
        for start in range(0, len(data), MAX_DATA_PER_CALL):
            yield namespace, data[start : start + MAX_DATA_PER_CALL]


def _read_namespace(datum: MetricDatum) -> str:
    return datum.namespace
