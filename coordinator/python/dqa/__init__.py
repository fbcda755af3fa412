"""dqa benchmarks image dehazing: it scores pictures by CLIP-DQA and by classic metrics, reads the runs of a store, and
computes the statistics of its reports.

Scores, rows and statistics are those of the programs `dqa-coord` and `dqa-worker`, to the bit. Tables are Arrow tables:
`pl.DataFrame(table)`, `pa.table(table)` and DuckDB take them as they are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from . import _dqa, _pictures
from ._dqa import Error, Table, __version__
from ._metric import MetricModel, create_metric, list_metrics

__all__ = [
    "Error",
    "MetricModel",
    "Run",
    "Scorer",
    "Table",
    "__version__",
    "agreement",
    "bootstrap",
    "create_metric",
    "krcc",
    "leaderboard",
    "list_metrics",
    "list_runs",
    "open_run",
    "plcc",
    "rmse",
    "score",
    "srcc",
]


class Scorer:
    """A model and metrics that are kept between calls.

    `model` is what `dqa-coord submit --model` takes: a folder, a file, `hf:OWNER/NAME`, or `dqa:small`, which is in the
    package. Given a model, its scores are CLIP-DQA's. `metrics` are computed beside it, or alone: names that
    `list_metrics()` returns. All other keywords are the flags of `dqa-worker score`.
    """

    def __init__(
        self,
        model: str | None = None,
        *,
        prompts: str | None = None,
        handcrafted: bool = False,
        metrics: Sequence[str] = (),
        metric_parameters: str | None = None,
        views: str | None = None,
        dtype: str = "f32",
        device: str = "cpu",
        batch: int | None = None,
        threads: int | None = None,
        decode_threads: int | None = None,
        picture_mib: int = 512,
        offline: bool = False,
    ) -> None:
        self._native = _dqa.Scorer(
            model,
            prompts=prompts,
            handcrafted=handcrafted,
            metrics=list(metrics),
            metric_parameters=metric_parameters,
            views=views,
            dtype=dtype,
            device=device,
            batch=batch,
            threads=threads,
            decode_threads=decode_threads,
            picture_mib=picture_mib,
            offline=offline,
        )

    def score(
        self,
        pictures: Iterable[Any],
        *,
        names: Sequence[str] | None = None,
        clear: Iterable[Any] | None = None,
        hazy: Iterable[Any] | None = None,
        windows: bool = False,
        progress: bool = False,
    ) -> Table:
        """Scores pictures: paths, bytes of files, arrays of height x width x 3 (uint8), or pictures of PIL.

        Returns a row for each, in their order. One that cannot be scored has `error_code` and `error_message` and takes
        none of the others with it. `names` fills the column `image` in place of paths and numbers. `clear` and `hazy` are
        the pictures that metrics compare with. `windows` adds the score of each window. `progress` shows a bar of tqdm, if
        it is installed.
        """
        pictures = list(pictures)
        if names is None:
            names = [_pictures.name(picture, number) for number, picture in enumerate(pictures)]
        clear = None if clear is None else list(clear)
        hazy = None if hazy is None else list(hazy)
        for what, others in (("names", names), ("clear", clear), ("hazy", hazy)):
            if others is not None and len(others) != len(pictures):
                raise ValueError(f"{len(pictures)} pictures are given, and {len(others)} of {what}")
        with _Progress(len(pictures), progress) as bar:
            return self._native.score_encoded(
                pictures,
                [str(name) for name in names],
                clear,
                hazy,
                windows,
                _pictures.encode,
                bar,
            )

    @property
    def fingerprint(self) -> str | None:
        """The digest of everything that determines the model's scores. Scores of two fingerprints are not comparable."""
        return self._native.fingerprint

    @property
    def device(self) -> str:
        """The device, with what matters for its speed."""
        return self._native.device

    @property
    def metrics(self) -> list[str]:
        """The metrics beside CLIP-DQA: a column each."""
        return self._native.metrics

    def __repr__(self) -> str:
        return f"<dqa.Scorer on {self.device}, fingerprint {(self.fingerprint or '-')[:12]}, metrics {self.metrics}>"


class _Progress:
    """A bar of tqdm, as a function that is called with the number of pictures of a step."""

    def __init__(self, total: int, is_wanted: bool) -> None:
        self.bar: Any = None
        if is_wanted:
            try:
                from tqdm.auto import tqdm
            except ImportError:
                return
            self.bar = tqdm(total=total, unit="picture")

    def __enter__(self) -> Callable[[int], object] | None:
        return self.bar.update if self.bar is not None else None

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()


def score(
    pictures: Iterable[Any],
    model: str | None = None,
    *,
    names: Sequence[str] | None = None,
    clear: Iterable[Any] | None = None,
    hazy: Iterable[Any] | None = None,
    windows: bool = False,
    progress: bool = False,
    **options: Any,
) -> Table:
    """Scores pictures once: `Scorer(model, **options).score(pictures, ...)`. Keep a `Scorer` to load the model once."""
    scorer = Scorer(model, **options)
    return scorer.score(pictures, names=names, clear=clear, hazy=hazy, windows=windows, progress=progress)


class Run:
    """A run of a store. Each table is read when it is asked for; keep it to read it once."""

    def __init__(self, native: _dqa.Run) -> None:
        self._native = native

    @property
    def name(self) -> str:
        """The run's name."""
        return self._native.name

    @property
    def store(self) -> str:
        """The store's address."""
        return self._native.store

    @property
    def record(self) -> dict[str, Any]:
        """What was asked for, by what, and the parts that are the result."""
        record: dict[str, Any] = json.loads(self._native.record_json)
        return record

    @property
    def scores(self) -> Table:
        """A row for each picture and metric."""
        return self._native.scores

    @property
    def leaderboard(self) -> Table:
        """The ranked algorithms."""
        return self._native.leaderboard

    @property
    def correlations(self) -> Table:
        """The agreement with labels."""
        return self._native.correlations

    @property
    def comparisons(self) -> Table:
        """The pairs of algorithms."""
        return self._native.comparisons

    @property
    def metrics(self) -> Table | None:
        """The metrics beside each other. None if the run has one."""
        return self._native.metrics

    def __repr__(self) -> str:
        return repr(self._native)


def open_run(store: str, run: str) -> Run:
    """Opens a run of a store, which is a folder or a URL that begins with s3://, gs:// or az://."""
    return Run(_dqa.open_run(str(store), run))


def list_runs(store: str) -> list[str]:
    """Returns the names of the runs of a store, sorted."""
    return _dqa.run_names(str(store))


def leaderboard(scores: Any, *, direction: str = "higher", seed: int = 0) -> Table:
    """Ranks the algorithms of a table of scores, with the statistics of `dqa-coord leaderboard`.

    `scores` is a table of any library that speaks Arrow, with the columns `algorithm`, `scene` and `score`, and if it has
    them `dataset`, `metric`, `image` and `mos`. A missing score is a failed picture. `direction` is that of metrics that
    dqa does not compute: `higher` or `lower` is better.
    """
    return _dqa.leaderboard(scores, direction, seed)


def srcc(x: Any, y: Any) -> float | None:
    """Spearman's rank correlation. None if it is undefined."""
    return _dqa.srcc(_numbers(x), _numbers(y))


def krcc(x: Any, y: Any) -> float | None:
    """Kendall's tau-b. None if it is undefined."""
    return _dqa.krcc(_numbers(x), _numbers(y))


def plcc(x: Any, y: Any, fit: str | None = None) -> float | None:
    """Pearson's correlation of `y` with `x`, or with a curve through `x` that is fitted to `y` first.

    `fit` is None, `logistic4` (VQEG's four parameters) or `logistic5` (five). None is returned if it is undefined, or there
    are too few rows for the curve.
    """
    return _dqa.plcc(_numbers(x), _numbers(y), fit)


def rmse(x: Any, y: Any) -> float | None:
    """The root of the mean squared difference. None if there are no rows."""
    return _dqa.rmse(_numbers(x), _numbers(y))


def agreement(score: Any, mos: Any, scene: Any, *, level: float = 0.95) -> dict[str, Any]:
    """SRCC, KRCC, PLCC, RMSE and pairwise accuracy with intervals over scenes, by the jackknife.

    Pictures of one scene are not independent: scenes are what is left out.
    """
    return _dqa.agreement(_numbers(score), _numbers(mos), _texts(scene), level=level)


def bootstrap(
    score: Any, mos: Any, scene: Any, *, replicates: int = 10_000, seed: int = 0, level: float = 0.95
) -> dict[str, Any]:
    """The same as `agreement`, with percentile intervals over draws of scenes with replacement."""
    scenes = _texts(scene)
    return _dqa.agreement(_numbers(score), _numbers(mos), scenes, "bootstrap", replicates, seed, level)


def _values(column: Any) -> Iterator[Any]:
    for method in ("tolist", "to_list"):  # of NumPy and pandas, and of Polars
        if hasattr(column, method):
            column = getattr(column, method)()
    return iter(column)


def _numbers(column: Any) -> list[float]:
    return [float("nan") if value is None else float(value) for value in _values(column)]


def _texts(column: Any) -> list[str]:
    return [str(value) for value in _values(column)]
