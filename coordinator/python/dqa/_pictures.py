"""Pictures of Python as the files that the decoders read."""

from __future__ import annotations

import os
from typing import Any


def name(picture: Any, number: int) -> str:
    """Returns what the column `image` says of a picture: its path, or its number."""
    return os.fspath(picture) if isinstance(picture, (str, os.PathLike)) else str(number)


def encode(picture: Any) -> str | bytes:
    """Returns a picture's path, or the bytes of a file. Pixels become PPM, which is lossless and quick to read."""
    if isinstance(picture, (str, os.PathLike)):
        return os.fspath(picture)
    if isinstance(picture, (bytes, bytearray, memoryview)):
        return bytes(picture)
    if hasattr(picture, "convert") and hasattr(picture, "tobytes"):
        return _of_pil(picture)
    if hasattr(picture, "__array__") or hasattr(picture, "__array_interface__"):
        return _of_array(picture)
    what = type(picture).__name__
    raise TypeError(f"{what} is no picture: expected a path, the bytes of a file, an array, or a picture of PIL")


def _of_pil(picture: Any) -> bytes:
    rgb = picture if picture.mode == "RGB" else picture.convert("RGB")
    return _ppm(rgb.size[0], rgb.size[1], rgb.tobytes())


def _of_array(picture: Any) -> bytes:
    import numpy as np

    if hasattr(picture, "detach"):  # a tensor of PyTorch, which may be on a device
        picture = picture.detach().cpu().numpy()
    array = np.asarray(picture)
    if array.ndim == 4 and array.shape[0] == 1:
        array = array[0]
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)  # PyTorch has the channels first
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim == 2:
        array = np.repeat(array[:, :, None], 3, axis=2)
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"an array of shape {array.shape} is no picture: expected height x width x 3")
    if array.dtype.kind == "f":
        if array.size and (not np.isfinite(array).all() or array.min() < 0 or array.max() > 1):
            raise ValueError("an array of floats must be within 0 and 1; give levels from 0 to 255 as uint8")
        array = np.rint(array * 255).astype(np.uint8)
    if array.dtype != np.uint8:
        raise ValueError(f"an array of {array.dtype} is no picture: expected uint8, or floats from 0 to 1")
    return _ppm(array.shape[1], array.shape[0], np.ascontiguousarray(array).tobytes())


def _ppm(width: int, height: int, pixels: bytes) -> bytes:
    return b"P6\n%d %d\n255\n" % (width, height) + pixels
