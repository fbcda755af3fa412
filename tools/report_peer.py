"""Computes the reports of a store's scores with pandas and SciPy, as the peer of bench-reports. Prints JSON.

usage: report_peer.py STORE --replicates N

Written as an expert in these tools would: only the needed columns are read, one pass for each group, whole arrays at a time, a
replicate of the bootstrap is an array of row numbers made without a loop, pairs of pictures are compared as a matrix and
counted for each scene once for all replicates.
"""
import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import optimize, stats

seconds = {"reading": 0.0, "measures": 0.0, "fits": 0.0, "bootstrap": 0.0, "leaderboard": 0.0}


def timed(part, work, *arguments):
    start = time.perf_counter()
    result = work(*arguments)
    seconds[part] += time.perf_counter() - start
    return result


def logistic4(x, b1, b2, b3, b4):
    return b2 + (b1 - b2) / (1 + np.exp(-(x - b3) / np.abs(b4)))


def logistic5(x, b1, b2, b3, b4, b5):
    return b1 * (0.5 - 1 / (1 + np.exp(b2 * (x - b3)))) + b4 * x + b5


def fit(curve, start, x, y):
    try:
        with np.errstate(all="ignore"):
            parameters, _ = optimize.curve_fit(curve, x, y, p0=start)
            fitted = curve(x, *parameters)
    except RuntimeError:
        return None, None
    return stats.pearsonr(fitted, y).statistic, np.sqrt(np.mean((fitted - y) ** 2))


def fits(score, mos):
    slope = 1 / max(score.std(), 1e-9)
    four = fit(logistic4, [mos.max(), mos.min(), score.mean(), score.std()], score, mos)
    five = fit(logistic5, [np.ptp(mos), slope, score.mean(), 0.0, mos.mean()], score, mos)
    return dict(zip(["plcc_logistic4", "rmse_logistic4", "plcc_logistic5", "rmse_logistic5"], [*four, *five]))


def coefficients(score, mos):
    return (
        stats.spearmanr(score, mos).statistic,
        stats.kendalltau(score, mos).statistic,
        stats.pearsonr(score, mos).statistic,
        np.sqrt(np.mean((score - mos) ** 2)),
    )


def pairs_by_scene(group):
    """Returns, for each scene, the number of pairs ordered alike (ties count half) and the number of pairs."""
    score = group.pivot(index="scene", columns="algorithm", values="score").to_numpy()
    mos = group.pivot(index="scene", columns="algorithm", values="mos").to_numpy()
    alike, pairs = np.zeros(len(score)), np.zeros(len(score))
    for first in range(score.shape[1]):
        for second in range(first):
            labels = np.sign(mos[:, first] - mos[:, second])
            scores = np.sign(score[:, first] - score[:, second])
            differ = ~np.isnan(labels) & (labels != 0)
            pairs += differ
            alike += np.where(differ, (scores == labels) + 0.5 * (scores == 0), 0)
    return alike, pairs


def bootstrap(group, alike, pairs, replicates, random):
    """Returns percentiles of every measure over draws of scenes. `group` is sorted by scene."""
    score, mos = group["score"].to_numpy(), group["mos"].to_numpy()
    _, starts, counts = np.unique(group["scene"].to_numpy(), return_index=True, return_counts=True)
    values = []
    for _ in range(replicates):
        drawn = random.integers(0, len(starts), len(starts))
        sizes = counts[drawn]
        ends = np.cumsum(sizes)
        rows = np.arange(ends[-1]) + np.repeat(starts[drawn] - (ends - sizes), sizes)
        accuracy = alike[drawn].sum() / max(pairs[drawn].sum(), 1)
        values.append([*coefficients(score[rows], mos[rows]), accuracy])
    return np.percentile(np.array(values), [2.5, 97.5], axis=0)


def correlations(dataset, kind, name, group, replicates, random):
    score, mos = group["score"].to_numpy(), group["mos"].to_numpy()
    row = {"dataset": dataset, "group_kind": kind, "group_name": name, "n": len(group)}
    measures = timed("measures", coefficients, score, mos)
    row |= dict(zip(["srcc", "krcc", "plcc", "rmse"], measures))
    alike, pairs = timed("measures", pairs_by_scene, group)
    row["pairwise_accuracy"] = alike.sum() / pairs.sum() if pairs.sum() > 0 else None
    means = group.groupby("algorithm", observed=True)[["score", "mos"]].mean()
    row["algorithm_srcc"] = stats.spearmanr(means["score"], means["mos"]).statistic if len(means) > 1 else None
    row |= timed("fits", fits, score, mos)
    timed("bootstrap", bootstrap, group, alike, pairs, replicates, random)
    return row


def leaderboard(scored, replicates, random):
    matrix = scored.pivot_table(index="scene", columns="algorithm", values="score", observed=True)
    values = matrix.to_numpy()
    for _ in range(replicates):
        np.nanmean(values[random.integers(0, len(values), len(values))], axis=0)
    p = []
    for first in range(values.shape[1]):
        for second in range(first):
            both = ~np.isnan(values[:, first]) & ~np.isnan(values[:, second])
            p.append(stats.wilcoxon(values[both, first], values[both, second]).pvalue)
    order = np.argsort(p)
    np.maximum.accumulate(np.minimum(np.array(p)[order] * np.arange(len(p), 0, -1), 1))
    return matrix.mean()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store", type=Path)
    parser.add_argument("--replicates", type=int, required=True)
    args = parser.parse_args()
    random = np.random.default_rng(0)
    table = []
    columns = ["dataset", "algorithm", "scene", "scene_group", "score", "mos"]
    for folder in sorted((args.store / "scores").iterdir()):
        dataset = folder.name.removeprefix("by_dataset=")
        frame = timed("reading", lambda: pd.read_parquet(folder, columns=columns))
        frame["scene"] = timed("reading", lambda: frame["scene"].astype("category").cat.codes)
        timed("leaderboard", leaderboard, frame.dropna(subset=["score"]), args.replicates, random)
        labelled = timed("reading", lambda: frame.dropna(subset=["score", "mos"]).sort_values("scene", kind="stable"))
        groups = [("all", None, labelled)]
        for kind in ("algorithm", "scene_group"):
            groups += [(kind, name, group) for name, group in labelled.groupby(kind, observed=True)]
        for kind, name, group in groups:
            table.append(correlations(dataset, kind, name, group, args.replicates, random))
    # An undefined measure is null.
    table = [{name: None if value != value else value for name, value in row.items()} for row in table]
    print(json.dumps({"seconds": seconds, "correlations": table}))


main()
