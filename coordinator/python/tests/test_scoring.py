"""Scores are those of the program, whatever the form of the pictures, and one bad picture takes none with it."""

import csv
import io
import multiprocessing
import os
import signal
import subprocess
import threading
import time

import numpy as np
import pytest

import dqa


def test_scores_are_the_programs_to_the_bit(demo, program):
    pictures = sorted((demo / "demo" / "dcp").glob("*.png"))
    table = dqa.score(pictures, model="dqa:small", metrics=["niqe"])
    worker = program.replace("dqa-coord", "dqa-worker")
    command = [worker, "score", "--model", "dqa:small", "--metrics", "clip-dqa,niqe", "--format", "csv", *pictures]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for row, line in zip(table.to_pylist(), csv.DictReader(io.StringIO(printed)), strict=True):
        assert row["image"] == line["image"]
        assert (row["score"], row["niqe"]) == (float(line["score"]), float(line["niqe"]))
        assert (row["windows"], row["width"], row["height"]) == tuple(int(line[c]) for c in ("windows", "width", "height"))


def test_the_form_of_a_picture_changes_nothing(tmp_path, pixels):
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.save(tmp_path / "p.png")
    file = (tmp_path / "p.png").read_bytes()
    forms = [tmp_path / "p.png", str(tmp_path / "p.png"), file, pixels, picture, pixels / 255.0]
    forms.append((pixels / 255.0).transpose(2, 0, 1)[None])  # as PyTorch has it
    rows = dqa.Scorer("dqa:small", metrics=["entropy"]).score(forms, windows=True).to_pylist()
    assert len({(row["score"], row["entropy"], tuple(row["window_scores"])) for row in rows}) == 1
    assert rows[0]["image"].endswith("p.png") and rows[3]["image"] == "3"
    assert np.isclose(np.mean(rows[0]["window_scores"]), rows[0]["score"])


def test_one_bad_picture_takes_none_with_it(pixels):
    pictures = [pixels, "nowhere.png", b"no picture", np.zeros((3, 3)), object(), pixels[:100], pixels]
    rows = dqa.Scorer("dqa:small").score(pictures).to_pylist()
    assert [row["error_code"] for row in rows] == [None, "io", "not_an_image", "too_small", "io", "too_small", None]
    assert rows[0]["score"] == rows[-1]["score"]
    assert "nowhere.png" in rows[1]["error_message"] and "object" in rows[4]["error_message"]


def test_references_and_names(pixels):
    dim = (pixels // 2).astype(np.uint8)
    scorer = dqa.Scorer(metrics=["psnr_rgb", "ssim"])
    rows = scorer.score([dim, dim], clear=[pixels, dim], names=["a", "b"]).to_pylist()
    assert [row["image"] for row in rows] == ["a", "b"]
    assert 5 < rows[0]["psnr_rgb"] < 15 and rows[1]["psnr_rgb"] is None
    assert "psnr_rgb: infinite" in rows[1]["metric_errors"]
    with pytest.raises(ValueError, match="2 pictures are given, and 1 of clear"):
        scorer.score([dim, dim], clear=[pixels])


def test_a_metric_is_a_function(pixels):
    niqe = dqa.create_metric("niqe")
    value = niqe(pixels)
    assert niqe.lower_better and niqe([pixels, pixels]) == [value, value]
    assert not dqa.create_metric("clip-dqa").lower_better
    assert dqa.create_metric("psnr_rgb")(pixels // 2, pixels) > 5
    with pytest.raises(dqa.Error, match="picture 0 has no niqe: picture is too small"):
        niqe(pixels[:20, :20])
    with pytest.raises(dqa.Error, match="unknown metric `niqee`"):
        dqa.create_metric("niqee")
    assert {"clip-dqa", "niqe", "fade"} <= set(dqa.list_metrics())


def test_errors_say_what_to_do():
    with pytest.raises(dqa.Error) as missing:
        dqa.Scorer("no/such/model", prompts="p.safetensors")
    assert "no/such/model" in str(missing.value)
    with pytest.raises(dqa.Error) as neither:
        dqa.Scorer()
    assert 'model="dqa:small"' in neither.value.hint and "neither" in neither.value.message
    with pytest.raises(dqa.Error, match="unknown metric `nique`"):
        dqa.Scorer(metrics=["nique"])


def test_threads_of_python_go_on(pixels):
    scorer = dqa.Scorer("dqa:small", threads=1)
    counted = []
    stop = threading.Event()

    def count():
        while not stop.wait(0.002):
            counted.append(1)

    thread = threading.Thread(target=count)
    thread.start()
    scorer.score([pixels] * 20)
    stop.set()
    thread.join()
    assert len(counted) > 2


def test_ctrl_c_ends_scoring(pixels):
    scorer = dqa.Scorer("dqa:small", metrics=["niqe"])
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        scorer.score([pixels] * 100_000)
    assert time.monotonic() - started < 60
    assert scorer.score([pixels]).to_pylist()[0]["score"] is not None, "the scorer can be used again"


def test_progress_is_called_for_each_picture(pixels, monkeypatch):
    tqdm = pytest.importorskip("tqdm.auto")
    seen = []

    class Bar(tqdm.tqdm):
        def update(self, n=1):
            seen.append(n)
            return super().update(n)

    monkeypatch.setattr(tqdm, "tqdm", Bar)
    dqa.score([pixels] * 3, metrics=["entropy"], progress=True)
    assert sum(seen) == 3


def _entropy_in_child(pixels):
    return dqa.score([pixels], metrics=["entropy"]).to_pylist()[0]["entropy"]


def _error_in_child(pixels):
    try:
        _entropy_in_child(pixels)
    except dqa.Error as error:
        return error.hint
    return None


def test_processes_do_not_hang(pixels):
    own = _entropy_in_child(pixels)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply_async(_entropy_in_child, (pixels,)).get(timeout=120) == own
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert "spawn" in pool.apply_async(_error_in_child, (pixels,)).get(timeout=120)
