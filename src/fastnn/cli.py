"""The command ``fastnn``: a demonstration on handwritten digits, and what is built in."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter

import numpy as np
from tqdm import tqdm

import fastnn
from fastnn import _plots
from fastnn.callbacks import Callback, Logs
from fastnn.datasets import load_digits
from fastnn.engines import ENGINES
from fastnn.layers import Dense
from fastnn.models import Sequential
from fastnn.optimizers import Adam

EPOCHS = 40
BATCH_SIZE = 32
LEARNING_RATE = 0.003
SEED = 1


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    arguments : sequence of str, optional
        Default: those of the process.

    Returns
    -------
    int
        Exit status: 0 if all went well.
    """
    options = _parser().parse_args(arguments)
    status: int = options.run(options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fastnn", description="Fast multilayer perceptrons.")
    parser.add_argument("--version", action="version", version=f"fastnn {fastnn.__version__}")
    commands = parser.add_subparsers(required=True, metavar="command")

    demo = commands.add_parser("demo", help="train a network on handwritten digits")
    demo.set_defaults(run=_demo)
    demo.add_argument(
        "--epochs",
        type=_at_least(1),
        default=EPOCHS,
        help="passes over the data (default %(default)s)",
    )
    demo.add_argument(
        "--seed",
        type=_at_least(0),
        default=SEED,
        help="of all random numbers (default %(default)s)",
    )
    demo.add_argument(
        "--engine", choices=ENGINES, help="what computes (default: FASTNN_ENGINE, else native)"
    )
    picture = demo.add_mutually_exclusive_group()
    picture.add_argument(
        "--output",
        type=Path,
        default=Path("demo-digits.png"),
        metavar="FILE",
        help="where to write the picture (default %(default)s)",
    )
    picture.add_argument("--no-picture", action="store_true", help="write no picture")

    config = commands.add_parser("config", help="print version, instruction sets and threads")
    config.set_defaults(run=_config)
    return parser


def _at_least(minimum: int) -> Callable[[str], int]:
    """Return a reader of arguments that are whole numbers from `minimum` on."""

    def integer(text: str) -> int:
        number = int(text)
        if number < minimum:
            raise argparse.ArgumentTypeError(f"must be at least {minimum}, got {number}")
        return number

    return integer


def _config(_: argparse.Namespace) -> int:
    fastnn.show_config()
    return 0


# The demonstration


class _Progress(Callback):
    """One bar for the whole training, which also measures the time spent on training steps."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self._start = 0.0

    def on_train_begin(self, logs: Logs | None = None) -> None:
        self._bar = tqdm(total=self.params["epochs"], desc="Training", unit="epoch")

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._start = perf_counter()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self.seconds += perf_counter() - self._start

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        values = {name: f"{value:.4f}" for name, value in (logs or {}).items()}
        self._bar.set_postfix(values, refresh=False)
        self._bar.update()

    def on_train_end(self, logs: Logs | None = None) -> None:
        self._bar.close()


def _demo(options: argparse.Namespace) -> int:
    fastnn.utils.set_random_seed(options.seed)
    (x_train, y_train), (x_test, y_test) = load_digits()
    x_train, x_test = x_train / np.float32(16), x_test / np.float32(16)

    model = _network(options.engine)
    model.summary()
    print()
    progress = _Progress()
    history = model.fit(
        x_train,
        y_train,
        batch_size=BATCH_SIZE,
        epochs=options.epochs,
        verbose=0,
        callbacks=[progress],
        validation_data=(x_test, y_test),
    ).history
    predicted = model.predict(x_test, verbose=0).argmax(axis=1)

    _print_curve(history)
    _print_confusion(y_test, predicted)
    _print_speed(progress.seconds, options.epochs, len(x_train))
    accuracy = np.mean(predicted == y_test)
    print(f"\nTest accuracy: {accuracy:.4f} on {len(y_test)} digits not trained on")
    if options.no_picture:
        return 0
    return _write_picture(options.output, history, x_test, y_test, predicted)


def _network(engine: str | None) -> Sequential:
    model = Sequential(
        [
            Dense(64, activation="relu", input_dim=64),
            Dense(10, activation="softmax"),
        ],
        engine=engine,
    )
    model.compile(Adam(LEARNING_RATE), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def _print_curve(history: Mapping[str, Sequence[float]]) -> None:
    """Print loss and accuracy after some epochs: 1, 2, 5, 10, 20, 50, ... and the last."""
    last = len(history["loss"])
    shown = {int(mantissa * 10**k) for k in range(len(str(last))) for mantissa in (1, 2, 5)}
    print("\nLearning curve\n")
    print(" epoch      loss  accuracy  test loss  test accuracy")
    for epoch in sorted({e for e in shown if e < last} | {last}):
        loss, accuracy, test_loss, test_accuracy = (
            history[key][epoch - 1] for key in ("loss", "accuracy", "val_loss", "val_accuracy")
        )
        print(f"{epoch:6}{loss:10.4f}{accuracy:10.4f}{test_loss:11.4f}{test_accuracy:15.4f}")


def _print_confusion(labels: np.ndarray, predicted: np.ndarray) -> None:
    """Print how often each digit (row) was taken for each digit (column)."""
    counts = np.zeros((10, 10), dtype=int)
    np.add.at(counts, (labels, predicted), 1)
    print("\nTest digits (rows) and what they were taken for (columns)\n")
    print("   |" + "".join(f"{digit:4}" for digit in range(10)))
    print("---+" + "-" * 40)
    for digit, row in enumerate(counts):
        print(f" {digit} |" + "".join(f"{count or '.':>4}" for count in row))


def _print_speed(seconds: float, epochs: int, samples: int) -> None:
    steps = epochs * -(-samples // BATCH_SIZE)
    print(
        f"\n{steps} training steps of {BATCH_SIZE} samples in {seconds:.3f} s: "
        f"{seconds / steps * 1e6:.1f} µs per step, {epochs * samples / seconds:,.0f} samples/s"
    )


def _write_picture(
    path: Path,
    history: Mapping[str, Sequence[float]],
    images: np.ndarray,
    labels: np.ndarray,
    predicted: np.ndarray,
) -> int:
    try:
        _plots.save_demo_picture(path, history, images, labels, predicted)
    except ImportError as error:
        print(f"No picture: {error}")
        return 0
    except (OSError, ValueError) as error:
        print(f"fastnn demo: the picture could not be written: {error}", file=sys.stderr)
        return 1
    print(f"Picture: {path}")
    return 0
