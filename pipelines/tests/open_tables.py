"""Opens every table of a store with common tools, and computes the same numbers with them as dqa does.

usage: open_tables.py STORE RUN PART
RUN is a run that owns all parts of the store. PART is a run of some of these parts.
"""

import json
import sys
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
from scipy import stats

store, run, partial_run = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
record = json.loads((store / "runs" / run / "run.json").read_text())
tables = ["scores", "correlations", "leaderboard", "comparisons", "cross_dataset"]


def assert_near(ours, theirs, measure):
    """Asserts that both values of a measure are equal but for rounding."""
    assert abs(ours - theirs) < 1e-9, (measure, ours, theirs)


def stored_columns(names):
    """Returns the columns without the partition columns that a reader derives from the path."""
    return [name for name in names if not name.startswith("by_")]


counts, names = {}, {}
for table in tables:
    glob = str(store / table / "**" / "*.parquet")
    relation = duckdb.sql(f"SELECT * FROM read_parquet('{glob}')")
    counts[table], names[table] = len(relation), stored_columns(relation.columns)
    # Each reader finds the Hive partitions of the folder in its own way.
    assert ds.dataset(store / table, partitioning="hive").count_rows() == counts[table], table
    frame = pd.read_parquet(store / table)
    assert stored_columns(frame.columns) == names[table] and len(frame) == counts[table], table
    polars = pl.scan_parquet(glob, hive_partitioning=True).collect()
    assert stored_columns(polars.columns) == names[table] and polars.height == counts[table], table

assert counts["scores"] == record["counts"]["pictures"]
assert duckdb.sql(f"SELECT count(*) FROM '{store}/scores/**/*.parquet' WHERE score IS NULL").fetchall()[0][0] == record["counts"]["failed"]
assert all(counts[table] > 0 for table in tables), counts

try:
    from pyspark.sql import SparkSession
except ImportError:
    print("pyspark is not installed")
else:
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    for table in tables:
        frame = spark.read.parquet(str(store / table))
        assert stored_columns(frame.columns) == names[table] and frame.count() == counts[table], table

# dqa's correlations of a group equal SciPy's of the same rows.
scores = pd.read_parquet(store / "scores").dropna(subset=["score", "mos"])
correlations = pd.read_parquet(store / "correlations")
pooled = correlations[(correlations["run"] == run) & (correlations["protocol"] == "pooled")]
assert len(pooled) > 0
for row in pooled.itertuples():
    group = scores[scores["dataset"] == row.dataset]
    if row.group_kind != "all":
        group = group[group[row.group_kind] == row.group_name]
    assert len(group) == row.n and group["scene"].nunique() == row.scenes, row
    assert_near(row.srcc, stats.spearmanr(group["score"], group["mos"]).statistic, "srcc")
    assert_near(row.krcc, stats.kendalltau(group["score"], group["mos"]).statistic, "krcc")
    assert_near(row.plcc, stats.pearsonr(group["score"], group["mos"]).statistic, "plcc")
    assert_near(row.rmse, ((group["score"] - group["mos"]) ** 2).mean() ** 0.5, "rmse")
    assert row.srcc_low <= row.srcc <= row.srcc_high, row

leaderboard = pd.read_parquet(store / "leaderboard")
for row in leaderboard[(leaderboard["run"] == partial_run) & leaderboard["dataset"].notna()].itertuples():
    scored = pd.read_parquet(store / "scores").dropna(subset=["score"])
    own = scored[(scored["dataset"] == row.dataset) & (scored["algorithm"] == row.algorithm)]
    assert pd.isna(row.rank) or row.rank_best <= row.rank <= row.rank_worst, row
    assert_near(row.mean_score, own.groupby("scene", observed=True)["score"].mean().mean(), "mean score")
print("all tables open")
