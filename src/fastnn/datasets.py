"""Handwritten digits to learn from: a small set in the package, MNIST by file or download."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from fastnn._extras import require

if TYPE_CHECKING:
    from pathlib import Path

Split = tuple[np.ndarray, np.ndarray]

MNIST_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
MNIST_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_MNIST_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def load_digits() -> tuple[Split, Split]:
    """Return 1797 images of handwritten digits, 8 by 8 pixels each.

    The data are the test part of *Optical Recognition of Handwritten Digits* of the UCI Machine
    Learning Repository, which scikit-learn has as ``load_digits``. They come with the package:
    nothing is downloaded.

    The split is fixed and the same for each digit: of its images, in the order of the file, the
    first of every five is for testing. The 13 people who wrote the digits are therefore in both
    parts, so test accuracy speaks of new digits, not of new hands.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        Images, uint8 of shape (1433, 64) and (364, 64), with values from 0 (paper) to 16 (ink),
        row by row; and the digits 0 to 9, uint8 of shape (1433,) and (364,). Divide the images
        by 16 to have them in [0, 1].

    References
    ----------
    E. Alpaydin and C. Kaynak (1998). Optical Recognition of Handwritten Digits [Dataset]. UCI
    Machine Learning Repository, https://doi.org/10.24432/C50P49. Licence: Creative Commons
    Attribution 4.0 International (CC BY 4.0).

    Examples
    --------
    >>> (x_train, y_train), (x_test, y_test) = load_digits()
    >>> x_train.shape, y_train.shape, x_test.shape, y_test.shape
    ((1433, 64), (1433,), (364, 64), (364,))
    >>> int(y_train[0]), int(x_train.min()), int(x_train.max())
    (0, 0, 16)
    """
    with np.load(os.path.join(os.path.dirname(__file__), "data", "digits.npz")) as data:
        x, y = data["x"], data["y"]
    test = np.zeros(len(y), dtype=bool)
    for digit in range(10):
        test[np.flatnonzero(y == digit)[::5]] = True
    return (x[~test], y[~test]), (x[test], y[test])


def load_mnist(
    path: str | os.PathLike[str] | None = None,
    *,
    url: str = MNIST_URL,
    sha256: str = MNIST_SHA256,
    cache_dir: str | os.PathLike[str] | None = None,
) -> tuple[Split, Split]:
    """Return MNIST: 70 000 images of handwritten digits, 28 by 28 pixels each.

    Without `path` the file that Keras uses is downloaded once (11 MB), checked, and kept; this
    needs pooch: ``pip install "fastnn[datasets]"``.

    Parameters
    ----------
    path : path-like, optional
        An ``.npz`` file with the arrays x_train, y_train, x_test and y_test. It is read as it
        is; nothing is downloaded or checked against `sha256`.
    url : str, optional
        Where to download from, for those who keep a mirror.
    sha256 : str, optional
        SHA-256 of the file at `url`, 64 hexadecimal digits.
    cache_dir : path-like, optional
        Folder in which the download is kept. Default: the user's cache folder for fastnn.

    Returns
    -------
    (x_train, y_train), (x_test, y_test) : tuples of ndarray
        Images, uint8 of shape (60000, 28, 28) and (10000, 28, 28), with values from 0 to 255;
        and the digits 0 to 9, uint8 of shape (60000,) and (10000,).

    Raises
    ------
    FileNotFoundError
        If there is no file at `path`.
    ValueError
        If the file is not such an ``.npz``, or the download does not have the given `sha256`.
    ImportError
        If a download is needed and pooch is not installed.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio and P. Haffner (1998). Gradient-based learning applied to
    document recognition. Proceedings of the IEEE 86(11), 2278-2324.
    """
    from pathlib import Path

    file = Path(path) if path is not None else _download(url, sha256, cache_dir)
    return _read_mnist(file)


def _download(url: str, sha256: str, cache_dir: str | os.PathLike[str] | None) -> Path:
    """Return the file of this URL and hash, from the cache if it is there."""
    from pathlib import Path

    pooch = require("pooch", "datasets")
    folder = pooch.os_cache("fastnn") if cache_dir is None else Path(cache_dir)
    return Path(pooch.retrieve(url, f"sha256:{sha256}", fname="mnist.npz", path=folder))


def _read_mnist(file: Path) -> tuple[Split, Split]:
    import zipfile  # not needed by those who bring their own data

    with file.open("rb") as stream:
        if not zipfile.is_zipfile(stream):
            raise ValueError(f"load_mnist expects an .npz file (a zip archive), got '{file}'")
    with np.load(file) as data:
        missing = [name for name in _MNIST_ARRAYS if name not in data]
        if missing:
            raise ValueError(
                f"load_mnist expects the arrays {', '.join(_MNIST_ARRAYS)}; "
                f"'{file}' lacks {', '.join(missing)}"
            )
        x_train, y_train, x_test, y_test = (data[name] for name in _MNIST_ARRAYS)
    return (x_train, y_train), (x_test, y_test)
