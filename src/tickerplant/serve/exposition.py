"""Prometheus' text format, version 0.0.4.

https://prometheus.io/docs/instrumenting/exposition_formats/ (read 2026-11-21): a HELP and a TYPE line before the
samples of a metric, each metric once; `\\`, newline and (in label values) `"` escaped; a newline at the end.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True)
class Sample:
    """One value with its labels."""

    value: float
    labels: Mapping[str, str]


@dataclass(frozen=True)
class Metric:
    """A metric with all its samples. A `counter` only grows and is named `..._total`; units are in the name."""

    name: str
    kind: Literal["gauge", "counter"]
    help: str
    samples: tuple[Sample, ...]


def gauge(name: str, meaning: str, samples: Iterable[tuple[float | None, Mapping[str, str]]]) -> Metric:
    """A gauge of these samples; those without a value are left out."""
    return Metric(name, "gauge", meaning, _known(samples))


def counter(name: str, meaning: str, samples: Iterable[tuple[float | None, Mapping[str, str]]]) -> Metric:
    """A counter of these samples; those without a value are left out."""
    return Metric(name, "counter", meaning, _known(samples))


def _known(samples: Iterable[tuple[float | None, Mapping[str, str]]]) -> tuple[Sample, ...]:
    return tuple(Sample(value, labels) for value, labels in samples if value is not None)


def render(metrics: Iterable[Metric]) -> str:
    """The page of these metrics; those without samples are left out."""
    return "".join(_metric(metric) for metric in metrics if metric.samples)


def _metric(metric: Metric) -> str:
    meaning = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    head = f"# HELP {metric.name} {meaning}\n# TYPE {metric.name} {metric.kind}\n"
    return head + "".join(f"{metric.name}{_labels(s.labels)} {_number(s.value)}\n" for s in metric.samples)


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _number(value: float) -> str:
    if math.isfinite(value):
        return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
