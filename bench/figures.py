"""The figures of a run beside their bars (figures.toml)."""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measured import describe_ratio, find_value
from bench.starts import StartSamples
from bench.warm import WarmCase, WarmSamples

FILE = Path(__file__).with_name("figures.toml")


class SampleFinder:
    """Finds samples by the names that figures.toml uses."""

    def __init__(self, warm: WarmSamples, starts: StartSamples, runtime_starts: StartSamples) -> None:
        self._warm = {"wall": warm.wall, "cpu": warm.cpu}
        self._starts = {"start": starts.values, "runtime_start": runtime_starts.values}

    def find_samples(self, name: str) -> Sequence[float]:
        """Return samples: `wall/stack/operation/delay`, `cpu/…`, or `start/program/part`. Raise KeyError."""
        kind, first, second, *delay = name.split("/")
        if kind in self._starts:
            return self._starts[kind][first][second]
        samples: Mapping[Any, Sequence[float]] = self._warm[kind]
        return samples[WarmCase(first, second, float(*delay))]  # type: ignore[arg-type]


def read_figures() -> list[dict[str, Any]]:
    """Return the figures with their bars."""
    figures: list[dict[str, Any]] = tomllib.loads(FILE.read_text(encoding="utf-8"))["figure"]
    return figures


def judge_figures(measured: Mapping[str, Any], finder: SampleFinder) -> list[dict[str, Any]]:
    """Return each figure with what was measured and whether its bar is met, by the unfavourable end of an interval."""
    return [_judge(figure, measured, finder) for figure in read_figures()]


def _judge(figure: Mapping[str, Any], measured: Mapping[str, Any], finder: SampleFinder) -> dict[str, Any]:
    if figure["is"] == "ratio":
        estimate = describe_ratio(finder.find_samples(figure["of"]), finder.find_samples(figure["to"]))
    else:
        estimate = {"value": find_value(measured, figure["path"]), "low": None, "high": None}
    known = {name: figure[name] for name in ("name", "at_most", "today") if name in figure}
    worst = estimate["value"] if estimate["high"] is None else estimate["high"]
    return {**known, **estimate, "met": worst <= figure["at_most"]}
