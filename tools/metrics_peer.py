#!/usr/bin/env python3
"""The Python side of tools/bench-metrics: makes its pictures, and times Python packages on them.

    tools/metrics_peer.py make PICTURES OUT      writes OUT/small, OUT/large and a list of pairs for each
    tools/metrics_peer.py serve LIST PARAMETERS  reads metrics from standard input, a line each, and answers in JSON

LIST has lines `picture,clear`. PARAMETERS is the folder with niqe.json, brisque.json and brisque_support_vectors.npy; pyiqa and
piq would download theirs. Needs numpy, scipy, pillow, torch, piq, pyiqa, scikit-image, sewar, pypiqe and fade-python.

An answer times a metric over all pictures of the list, from 8-bit RGB in memory to the numbers, with the fastest of the packages
and of two ways to use two cores: two threads in PyTorch, or two processes of one thread. The choice is made by the first
pictures, before the first answer.
"""
import json
import multiprocessing
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from PIL import Image

LARGE = (1920, 1080)
LARGE_COUNT = 10
TRIED = 4  # pictures that the choice is made by


def make(pictures, out):
    """The pictures as they are, and ten of 1920x1080 that are tiled from eight of them each; the clear one of a pair is a veil."""
    sources = sorted(p for p in Path(pictures).iterdir() if p.suffix.lower() in {".png", ".jpg", ".jpeg", ".bmp", ".webp"})
    sets = {"small": {p.stem: Image.open(p).convert("RGB") for p in sources}, "large": {}}
    for number in range(LARGE_COUNT):
        tiled = Image.new("RGB", LARGE)
        for place in range(8):
            tile = sets["small"][sources[(8 * number + place) % len(sources)].stem]
            tiled.paste(tile, (tile.width * (place % 4), tile.height * (place // 4)))
        sets["large"][str(number)] = tiled
    for name, images in sets.items():
        folder = Path(out) / name
        folder.mkdir()
        lines = []
        for stem, image in images.items():
            veil = image.point([round(0.6 * level + 90) for level in range(256)] * 3)
            for suffix, written in (("", image), (".veil", veil)):
                written.save(folder / f"{stem}{suffix}.png", compress_level=1)
            lines.append(f"{folder / stem}.png,{folder / stem}.veil.png")
        Path(f"{folder}.txt").write_text("\n".join(lines) + "\n")


def candidates(parameters):
    """Per metric, functions of a picture and a clear one, by the name of their package."""
    import piq
    import pyfade
    import pypiqe
    import scipy.io
    import sewar
    import skimage.color
    import skimage.measure
    import skimage.metrics
    import torch
    from pyiqa.archs.brisque_arch import BRISQUE
    from pyiqa.archs.entropy_arch import Entropy
    from pyiqa.archs.fsim_arch import FSIM
    from pyiqa.archs.gmsd_arch import GMSD
    from pyiqa.archs.niqe_arch import NIQE
    from pyiqa.archs.piqe_arch import PIQE
    from pyiqa.archs.psnr_arch import PSNR
    from pyiqa.archs.ssim_arch import MS_SSIM, SSIM

    table = np.load(parameters / "brisque_support_vectors.npy")
    weights = [torch.from_numpy(np.ascontiguousarray(part)).float() for part in (table[:, 0], table[:, 1:])]
    piq.brisque.__globals__["load_url"] = lambda *_, **__: [part.clone() for part in weights]
    natural = json.loads((parameters / "niqe.json").read_text())
    with_weights = Path(f"{sys.argv[2]}.brisque.pth"), Path(f"{sys.argv[2]}.niqe.mat")
    torch.save(tuple(weights), with_weights[0])
    scipy.io.savemat(with_weights[1], {"mu_prisparam": np.array(natural["mu"]), "cov_prisparam": np.array(natural["cov"])})

    def tensor(image):
        return torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255

    def gray(image):
        return np.floor(image @ np.array([0.298936021293775, 0.587043074451121, 0.114020904255103]) + 0.5)

    def gray_tensor(image):
        return torch.from_numpy(gray(image)).float()[None, None] / 255

    def on_tensors(function, convert=tensor):
        return lambda picture, clear: float(function(convert(picture), convert(clear)))

    def on_tensor(function):
        return lambda picture, _: float(function(tensor(picture)))

    def on_grays(function):
        return lambda picture, clear: function(gray(clear), gray(picture))

    def ciede2000(picture, clear):
        return skimage.color.deltaE_ciede2000(skimage.color.rgb2lab(clear), skimage.color.rgb2lab(picture)).mean()

    def structural_similarity(clear, picture):
        options = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
        return skimage.metrics.structural_similarity(clear, picture, **options)

    def psnr(clear, picture):
        return skimage.metrics.peak_signal_noise_ratio(clear, picture, data_range=255)

    return {
        "psnr_rgb": {
            "scikit-image": lambda picture, clear: psnr(clear, picture),
            "sewar": lambda picture, clear: sewar.psnr(clear, picture),
            "piq": on_tensors(piq.psnr),
            "pyiqa": on_tensors(PSNR()),
        },
        "psnr_gray": {
            "scikit-image": on_grays(psnr),
            "piq": on_tensors(piq.psnr, gray_tensor),
            "pyiqa": on_tensors(PSNR(test_y_channel=True)),
        },
        "ssim": {
            "piq": on_tensors(lambda x, y: piq.ssim(x, y, downsample=True), gray_tensor),
            "pyiqa": on_tensors(SSIM(downsample=True, test_y_channel=True)),
        },
        "ssim_full": {
            "scikit-image": on_grays(structural_similarity),
            "piq": on_tensors(lambda x, y: piq.ssim(x, y, downsample=False), gray_tensor),
            "pyiqa": on_tensors(SSIM(test_y_channel=True)),
        },
        "ms_ssim": {
            "piq": on_tensors(piq.multi_scale_ssim, gray_tensor),
            "pyiqa": on_tensors(MS_SSIM(test_y_channel=True)),
        },
        "gmsd": {"piq": on_tensors(piq.gmsd), "pyiqa": on_tensors(GMSD(test_y_channel=True))},
        "ciede2000": {"scikit-image": ciede2000},
        "vifp": {"piq": on_tensors(piq.vif_p, gray_tensor), "sewar": on_grays(sewar.vifp)},
        "fsimc": {"piq": on_tensors(piq.fsim), "pyiqa": on_tensors(FSIM(chromatic=True))},
        "niqe": {"pyiqa": on_tensor(NIQE(test_y_channel=True, pretrained_model_path=str(with_weights[1])))},
        "brisque": {
            "piq": on_tensor(piq.brisque),
            "pyiqa": on_tensor(BRISQUE(pretrained_model_path=str(with_weights[0]))),
        },
        "fade": {"fade-python": lambda picture, _: pyfade.fade_array(picture)},
        "piqe": {
            "pypiqe": lambda picture, _: pypiqe.piqe(np.ascontiguousarray(picture[:, :, ::-1]))[0],
            "pyiqa": on_tensor(PIQE()),
        },
        "entropy": {
            "scikit-image": lambda picture, _: skimage.measure.shannon_entropy(gray(picture)),
            "pyiqa": on_tensor(Entropy()),
        },
    }


FUNCTIONS, PAIRS = {}, []


def one_thread():
    import torch

    torch.set_num_threads(1)
    warnings.filterwarnings("ignore")


def evaluate(job):
    metric, package, index = job
    return FUNCTIONS[metric][package](*PAIRS[index])


def seconds(pool, metric, package, count):
    """Time over the first pictures with a pool of processes, or without one by PyTorch's threads."""
    jobs = [(metric, package, index) for index in range(count)]
    start = time.perf_counter()
    values = pool.map(evaluate, jobs, chunksize=1) if pool else [evaluate(job) for job in jobs]
    return time.perf_counter() - start, values


def choose(pool, metric):
    """The fastest package, by the second evaluation of a picture, and the faster way to use two cores."""
    times = []
    for package in FUNCTIONS[metric]:
        try:
            times.append((min(seconds(None, metric, package, 1)[0] for _ in range(2)), package))
        except Exception as error:
            print(f"{metric}: {package} failed: {error}", file=sys.stderr)
    package = min(times)[1]
    seconds(pool, metric, package, 2)
    return package, min((pool, None), key=lambda ways: seconds(ways, metric, package, TRIED)[0])


def serve(listing, parameters):
    warnings.filterwarnings("ignore")
    for line in Path(listing).read_text().split():
        PAIRS.append([np.asarray(Image.open(name).convert("RGB")) for name in line.split(",")])
    FUNCTIONS.update(candidates(Path(parameters)))
    # The processes are forked before PyTorch starts threads.
    pool = multiprocessing.Pool(2, one_thread)
    import torch

    torch.set_num_threads(2)
    chosen = {}
    print(json.dumps({"ready": sorted(FUNCTIONS)}), flush=True)
    for metric in map(str.strip, sys.stdin):
        if metric not in chosen:
            chosen[metric] = choose(pool, metric)
        package, ways = chosen[metric]
        time_taken, values = seconds(ways, metric, package, len(PAIRS))
        way = "2 processes" if ways else "2 threads"
        answer = {"metric": metric, "peer": f"{package}, {way}", "seconds": time_taken, "values": list(map(float, values))}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    {"make": make, "serve": serve}[sys.argv[1]](*sys.argv[2:])
