"""The bundled digits, and MNIST from a file or over HTTP."""

from __future__ import annotations

import functools
import hashlib
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest

from fastnn.datasets import load_digits, load_mnist

SHARED_MNIST = Path(__file__).parents[2] / "shared" / "data" / "mnist.npz"


def small_mnist() -> dict[str, np.ndarray]:
    """Return arrays named like MNIST's, three rows for training and two for testing."""
    images = np.arange(5 * 28 * 28, dtype=np.uint32).reshape(5, 28, 28).astype(np.uint8)
    labels = np.array([5, 0, 4, 1, 9], dtype=np.uint8)
    return {
        "x_train": images[:3],
        "y_train": labels[:3],
        "x_test": images[3:],
        "y_test": labels[3:],
    }


def assert_small_mnist(loaded) -> None:
    (x_train, y_train), (x_test, y_test) = loaded
    got = {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}
    for name, expected in small_mnist().items():
        np.testing.assert_array_equal(got[name], expected)
        assert got[name].dtype == expected.dtype


class TestDigits:
    def test_shapes_types_and_range(self):
        (x_train, y_train), (x_test, y_test) = load_digits()
        assert x_train.shape == (1433, 64)
        assert y_train.shape == (1433,)
        assert x_test.shape == (364, 64)
        assert y_test.shape == (364,)
        for array in (x_train, y_train, x_test, y_test):
            assert array.dtype == np.uint8
        assert x_train.min() == 0
        assert x_train.max() == 16

    def test_the_file_is_small(self):
        assert len((files("fastnn") / "data" / "digits.npz").read_bytes()) < 100_000

    def test_every_digit_has_a_fifth_of_its_images_in_the_test_part(self):
        (_, y_train), (_, y_test) = load_digits()
        train, test = np.bincount(y_train), np.bincount(y_test)
        np.testing.assert_array_equal(test, np.ceil((train + test) / 5))

    def test_they_are_the_digits_of_scikit_learn(self):
        reference = pytest.importorskip("sklearn.datasets").load_digits()
        (x_train, y_train), (x_test, y_test) = load_digits()
        rows = np.column_stack([np.vstack([x_train, x_test]), np.concatenate([y_train, y_test])])
        expected = np.column_stack([reference.data, reference.target])
        np.testing.assert_array_equal(
            rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)].astype(np.uint8)
        )

    def test_each_call_returns_arrays_of_its_own(self):
        load_digits()[0][0][...] = 0
        assert load_digits()[0][0].max() == 16


class TestMnistFromFile:
    @pytest.mark.parametrize("form", [str, Path])
    def test_a_given_file_is_read(self, tmp_path, form):
        np.savez(tmp_path / "mine.npz", **small_mnist())
        assert_small_mnist(load_mnist(form(tmp_path / "mine.npz")))

    def test_a_missing_file_is_named(self, tmp_path):
        with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
            load_mnist(tmp_path / "absent.npz")

    def test_a_file_of_another_kind_is_refused(self, tmp_path):
        np.save(tmp_path / "array.npy", np.zeros(3))
        with pytest.raises(ValueError, match=r"expects an \.npz file .*array\.npy"):
            load_mnist(tmp_path / "array.npy")

    def test_missing_arrays_are_named(self, tmp_path):
        np.savez(tmp_path / "half.npz", x_train=np.zeros(1), y_train=np.zeros(1))
        with pytest.raises(ValueError, match="lacks x_test, y_test"):
            load_mnist(tmp_path / "half.npz")

    @pytest.mark.skipif(not SHARED_MNIST.exists(), reason="no MNIST file beside the repository")
    def test_the_whole_of_mnist(self):
        (x_train, y_train), (x_test, y_test) = load_mnist(SHARED_MNIST)
        assert x_train.shape == (60000, 28, 28)
        assert x_test.shape == (10000, 28, 28)
        assert x_train.dtype == y_train.dtype == np.uint8
        np.testing.assert_array_equal(np.unique(y_train), np.arange(10))
        assert y_test.shape == (10000,)


class _Server(ThreadingHTTPServer):
    """Serves a folder on 127.0.0.1 and counts what it is asked for."""

    requests: list[str]


class _Handler(SimpleHTTPRequestHandler):
    server: _Server

    def log_message(self, *_):
        self.server.requests.append(self.path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[_Server]:
    folder = tmp_path / "served"
    folder.mkdir()
    np.savez(folder / "mnist.npz", **small_mnist())
    handler = functools.partial(_Handler, directory=str(folder))
    with _Server(("127.0.0.1", 0), handler) as httpd:
        httpd.requests = []
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        yield httpd
        httpd.shutdown()
        thread.join()


class TestMnistDownload:
    @pytest.fixture(autouse=True)
    def needs_pooch(self):
        pytest.importorskip("pooch")

    def source(self, server: _Server, tmp_path: Path) -> dict[str, object]:
        url = f"http://127.0.0.1:{server.server_port}/mnist.npz"
        served = (tmp_path / "served" / "mnist.npz").read_bytes()
        return {
            "url": url,
            "sha256": hashlib.sha256(served).hexdigest(),
            "cache_dir": tmp_path / "cache",
        }

    def test_the_file_is_downloaded_once_and_kept(self, server, tmp_path):
        source = self.source(server, tmp_path)
        assert_small_mnist(load_mnist(**source))
        assert_small_mnist(load_mnist(**source))
        assert len(server.requests) == 1

    def test_a_file_with_another_hash_is_refused_and_not_kept(self, server, tmp_path):
        with pytest.raises(ValueError, match="hash"):
            load_mnist(**self.source(server, tmp_path) | {"sha256": "0" * 64})
        assert not list((tmp_path / "cache").glob("*"))


def test_a_download_without_pooch_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ImportError, match=r"fastnn\[datasets\]"):
        load_mnist(cache_dir=tmp_path)
