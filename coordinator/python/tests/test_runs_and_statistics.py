"""Runs as tables, and statistics that equal the program's."""

import json
import subprocess
from importlib.metadata import version

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import dqa


def test_both_packages_are_of_one_version():
    assert version("dqa") == version("dqa-bin") == dqa.__version__


def test_a_run_is_tables(demo, program):
    run = dqa.open_run(demo / "store", "r")
    assert dqa.list_runs(demo / "store") == ["r"] and run.record["name"] == "r"
    scores = pl.DataFrame(run.scores)
    assert scores.height == 2 * 3 * 12 and set(scores["metric"]) == {"clip-dqa", "niqe"}
    query = [program, "query", "SELECT * FROM leaderboard", "r", "--store", "store", "--format", "json"]
    printed = subprocess.run(query, cwd=demo, check=True, capture_output=True, text=True).stdout
    expected = [json.loads(line) for line in printed.splitlines()]
    assert [{k: v for k, v in row.items() if v is not None} for row in run.leaderboard.to_pylist()] == [
        {k: v for k, v in row.items() if v is not None} for row in expected
    ]
    assert len(run.correlations) > 0 and len(run.metrics) > 0 and len(run.comparisons) > 0
    with pytest.raises(dqa.Error, match="has no run `q`") as unknown:
        dqa.open_run(demo / "store", "q")
    assert unknown.value.hint == "its runs are r"
    with pytest.raises(dqa.Error, match="nowhere"):
        dqa.open_run("nowhere", "r")


def test_tables_go_to_every_library(demo):
    scores = dqa.open_run(demo / "store", "r").scores
    assert pa.table(scores).num_rows == len(scores) == 72
    assert pl.DataFrame(scores)["score"].to_list() == pa.table(scores)["score"].to_pylist()
    assert list(pd.DataFrame.from_arrow(scores).columns) == scores.columns
    assert "clip-dqa" in repr(scores) and "52 more rows" in repr(scores)


@pytest.mark.parametrize("library", ["dqa", "pyarrow", "polars", "pandas"])
def test_a_leaderboard_of_a_table_is_the_runs(demo, library):
    run = dqa.open_run(demo / "store", "r")
    scores = {
        "dqa": lambda: run.scores,
        "pyarrow": lambda: pa.table(run.scores),
        "polars": lambda: pl.DataFrame(run.scores),
        "pandas": lambda: pd.DataFrame.from_arrow(run.scores),
    }[library]()
    names = ["metric", "dataset", "algorithm", "rank", "rank_best", "rank_worst", "mean_score", "p_next", "adjusted_score_low"]
    key = lambda row: (row["metric"], row["dataset"] or "", row["algorithm"])
    chosen = lambda table: sorted(({name: row[name] for name in names} for row in table.to_pylist()), key=key)
    assert chosen(dqa.leaderboard(scores)) == chosen(run.leaderboard)


def test_a_table_of_ones_own():
    rows = 40
    table = pd.DataFrame(
        {
            "algorithm": ["a", "b"] * (rows // 2),
            "scene": [f"s{n // 2}" for n in range(rows)],
            "score": np.where(np.arange(rows) % 2, 1.0, 2.0) + np.random.default_rng(1).normal(0, 0.1, rows),
        }
    )
    best = dqa.leaderboard(table, direction="lower").to_pylist()[0]
    assert (best["algorithm"], best["rank"], best["direction"]) == ("b", 1, "lower")
    with pytest.raises(dqa.Error, match="no column `scene`") as missing:
        dqa.leaderboard(table[["algorithm", "score"]])
    assert missing.value.hint == "it needs algorithm, scene and score; it has algorithm, score"
    with pytest.raises(dqa.Error, match="two rows of the metric"):
        dqa.leaderboard(table.assign(image="same"))


def test_correlations_equal_scipys():
    stats = pytest.importorskip("scipy.stats")
    random = np.random.default_rng(3)
    x = random.normal(size=200).round(1)
    y = x + random.normal(size=200).round(1)
    assert dqa.srcc(x, y) == pytest.approx(stats.spearmanr(x, y)[0], abs=1e-12)
    assert dqa.krcc(x, list(y)) == pytest.approx(stats.kendalltau(x, y)[0], abs=1e-12)
    assert dqa.plcc(pd.Series(x), pl.Series(y)) == pytest.approx(stats.pearsonr(x, y)[0], abs=1e-12)
    assert dqa.plcc(x, y, fit="logistic5") >= dqa.plcc(x, y) - 1e-9
    assert dqa.srcc([1, 1], [1, 2]) is None
    with pytest.raises(dqa.Error, match=r"y\[1\] is not a number"):
        dqa.rmse([1, 2], [1, None])
    scene = np.arange(200) // 4
    jackknife, bootstrap = dqa.agreement(x, y, scene), dqa.bootstrap(x, y, scene, replicates=500)
    assert jackknife["scenes"] == 50 and jackknife["srcc"]["value"] == dqa.srcc(x, y)
    for found in (jackknife, bootstrap):
        assert found["srcc"]["low"] < found["srcc"]["value"] < found["srcc"]["high"]
    assert bootstrap["srcc"]["method"] == "bootstrap"
