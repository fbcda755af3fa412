"""The native half of dqa. Use the names of the package `dqa`."""

from collections.abc import Callable, Sequence
from typing import Any, TypedDict

__version__: str

class Error(Exception):
    """Why something could not be done."""

    message: str
    hint: str | None

class Table:
    """A table of results, for `pl.DataFrame(table)`, `pa.table(table)` and all else that speaks Arrow."""

    @property
    def columns(self) -> list[str]: ...
    def to_pylist(self) -> list[dict[str, Any]]: ...
    def __len__(self) -> int: ...
    def __arrow_c_schema__(self) -> object: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

class Scorer:
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
    ) -> None: ...
    def score_encoded(
        self,
        pictures: list[Any],
        names: list[str],
        clear: list[Any] | None,
        hazy: list[Any] | None,
        windows: bool,
        encode: Callable[[Any], str | bytes],
        each: Callable[[int], object] | None,
    ) -> Table: ...
    @property
    def fingerprint(self) -> str | None: ...
    @property
    def device(self) -> str: ...
    @property
    def metrics(self) -> list[str]: ...

class Run:
    @property
    def name(self) -> str: ...
    @property
    def store(self) -> str: ...
    @property
    def record_json(self) -> str: ...
    @property
    def scores(self) -> Table: ...
    @property
    def leaderboard(self) -> Table: ...
    @property
    def correlations(self) -> Table: ...
    @property
    def comparisons(self) -> Table: ...
    @property
    def metrics(self) -> Table | None: ...

class MetricInfo(TypedDict):
    metric: str
    direction: str
    needs: str | None

def metrics() -> list[MetricInfo]: ...
def open_run(store: str, run: str) -> Run: ...
def run_names(store: str) -> list[str]: ...
def leaderboard(table: Any, direction: str = "higher", seed: int = 0) -> Table: ...
def srcc(x: list[float], y: list[float]) -> float | None: ...
def krcc(x: list[float], y: list[float]) -> float | None: ...
def rmse(x: list[float], y: list[float]) -> float | None: ...
def plcc(x: list[float], y: list[float], fit: str | None = None) -> float | None: ...
def agreement(
    score: list[float],
    mos: list[float],
    scene: list[str],
    method: str = "jackknife",
    replicates: int = 10_000,
    seed: int = 0,
    level: float = 0.95,
) -> dict[str, Any]: ...
