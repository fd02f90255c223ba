"""The publisher of the metrics in the functions' logs to CloudWatch, as Lambda's log pipeline does on AWS."""

import logging
import threading
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from local.events.cloudwatch import MOST_DATA, CloudWatch, MetricsRejected
from local.events.embedded_metrics import MetricDatum, read_metrics
from local.events.log_tail import LogTail

POLL_S = 0.5
BACKOFF_S = (0.5, 1.0, 2.0, 5.0)  # between attempts while the emulator is unreachable

log = logging.getLogger(__name__)


class LogFollower:
    """Follows logs from their present ends, until `stop` is set.

    While CloudWatch is unreachable it stops reading; the logs themselves keep what comes meanwhile.
    """

    def __init__(self, logs: Iterable[Path], cloudwatch: CloudWatch, stop: threading.Event) -> None:
        self._found: list[MetricDatum] = []
        self._tails = [LogTail(path, lambda lines: self._found.extend(read_metrics(lines))) for path in logs]
        self._cloudwatch = cloudwatch
        self._stop = stop

    def run(self) -> None:
        """Follow the logs until `stop` is set."""
        more = False
        while not self._stop.wait(0 if more else POLL_S):
            more = sum(tail.read_new() for tail in self._tails) > 0
            for namespace, data in split_batches(self._found):
                self._put_batch(namespace, data)
            self._found.clear()

    def _put_batch(self, namespace: str, data: list[MetricDatum]) -> None:
        """Put the metrics; retry while the emulator is unreachable."""
        failures = 0
        while not self._stop.is_set() and not self._is_finished(namespace, data):
            self._stop.wait(BACKOFF_S[min(failures, len(BACKOFF_S) - 1)])
            failures += 1

    def _is_finished(self, namespace: str, data: list[MetricDatum]) -> bool:
        """Return whether the metrics were put, or never will be."""
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
        for start in range(0, len(data), MOST_DATA):
            yield namespace, data[start : start + MOST_DATA]


def _read_namespace(datum: MetricDatum) -> str:
    return datum.namespace
