"""A metric as a function of a picture, as `pyiqa.create_metric` of IQA-PyTorch makes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _dqa

CLIP_DQA = "clip-dqa"


class MetricModel:
    """A metric as a function: `metric(picture)`, or `metric(picture, reference)` for one that compares.

    A picture is what `dqa.Scorer.score` takes; a list of pictures gives a list of values. `lower_better` says in which
    direction the metric goes. A picture that has no value raises `dqa.Error`.
    """

    def __init__(self, name: str, **options: Any) -> None:
        from . import Scorer

        known = {metric["metric"]: metric for metric in _dqa.metrics()}
        if name != CLIP_DQA and name not in known:
            raise _dqa.Error(f"unknown metric `{name}`: expected {CLIP_DQA}, {', '.join(known)}")
        self.metric_name = name
        self.lower_better = name != CLIP_DQA and known[name]["direction"] == "lower"
        if name == CLIP_DQA:
            options.setdefault("model", "dqa:small")
        else:
            options["metrics"] = [name]
        self._scorer = Scorer(**options)

    def __call__(self, target: Any, ref: Any = None) -> float | list[float]:
        is_list = isinstance(target, (list, tuple))
        pictures = list(target) if is_list else [target]
        references = None if ref is None else list(ref) if is_list else [ref]
        table = self._scorer.score(pictures, clear=references, hazy=references)
        values = self._values(table)
        return values if is_list else values[0]

    def _values(self, table: _dqa.Table) -> list[float]:
        column = "score" if self.metric_name == CLIP_DQA else self.metric_name
        rows = table.to_pylist()
        for number, row in enumerate(rows):
            if row[column] is None:
                why = row["error_message"] or row.get("metric_errors")
                raise _dqa.Error(f"picture {number} has no {self.metric_name}: {why}")
        return [row[column] for row in rows]

    def __repr__(self) -> str:
        return f"<dqa metric {self.metric_name}, {'lower' if self.lower_better else 'higher'} is better>"


def create_metric(name: str, **options: Any) -> MetricModel:
    """Returns a metric as a function: `dqa.create_metric("niqe")(picture)`. The options are those of `dqa.Scorer`."""
    return MetricModel(name, **options)


def list_metrics() -> list[str]:
    """Returns the names of all metrics."""
    return [CLIP_DQA, *(metric["metric"] for metric in _dqa.metrics())]
