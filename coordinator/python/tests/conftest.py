"""Pictures and a store that the tests share. The programs are those of the package dqa-bin."""

import shutil
import subprocess

import numpy as np
import pytest


@pytest.fixture(scope="session")
def program():
    path = shutil.which("dqa-coord")
    assert path, "dqa-bin is not installed"
    return path


@pytest.fixture(scope="session")
def demo(tmp_path_factory, program):
    """A folder with the demo data set of three scenes, and the run `r` of two metrics in the store `store`."""
    folder = tmp_path_factory.mktemp("demo")
    make = [program, "demo", "make", "demo", "--scenes", "3", "--width", "240", "--height", "224"]
    subprocess.run(make, cwd=folder, check=True, capture_output=True)
    submit = [program, "submit", "--datasets", "demo/demo.toml", "--model", "dqa:small", "--name", "r"]
    submit += ["--metrics", "clip-dqa,niqe", "--store", "store"]
    subprocess.run(submit, cwd=folder, check=True, capture_output=True)
    return folder


@pytest.fixture
def pixels():
    return np.random.default_rng(7).integers(0, 256, (240, 300, 3), dtype=np.uint8)
