"""Many models at once: `fit_many`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from fastnn._validation import float_array, whole_number
from fastnn.callbacks import Callback
from fastnn.layers import every_layer
from fastnn.models import Sequential
from fastnn.native.team import get_num_threads, use_threads
from fastnn.utils import generator, own_generator

if TYPE_CHECKING:
    from concurrent.futures import Future

    from fastnn.callbacks import History, Logs

_OF_EACH = ("validation_data", "callbacks", "class_weight", "sample_weight")
"""Options of `Sequential.fit` that may be given for each model."""


def fit_many(
    models: Sequence[Sequential],
    x: Any,
    y: Any,
    *,
    n_jobs: int | None = None,
    verbose: int = 0,
    **options: Any,
) -> list[History]:
    """Train independent models on all cores, one thread each.

    For ensembles, cross-validation and the search for hyperparameters. It is faster than one
    model after the other on all threads, for there is nothing to wait for between them, however
    small they are.

    Parameters
    ----------
    models : sequence of Sequential
        Compiled, and without a layer or a metric object in common.
    x, y : array_like, or list of ndarray
        As in `Sequential.fit`, the same for all models; or lists with an array for each model.
    n_jobs : int, optional
        Models to train at a time. Default: `fastnn.get_num_threads`.
    verbose : {0, 1}, default 0
        1 shows a bar of the models that are done.
    **options
        What else `Sequential.fit` takes, the same for all models. `validation_data`, `callbacks`,
        `class_weight` and `sample_weight` may be lists of such values, one for each model (and
        `callbacks` must be).

    Returns
    -------
    list of History
        In the order of `models`.

    Raises
    ------
    TypeError, ValueError
        If `models` or `n_jobs` is not as described, or a list has not an entry for each model; then
        no model has changed.
    RuntimeError
        If one is not compiled; then none has changed either.
    Exception
        What the fit of one of the models raises, which checks data and options as it begins. The
        others then stop at their last finished step, as they do at Ctrl-C.

    Notes
    -----
    Each model draws its shuffles from a generator of its own, descended from the one that
    `fastnn.utils.set_random_seed` seeds: the results do not depend on `n_jobs`.

    Examples
    --------
    >>> import numpy as np
    >>> import fastnn
    >>> from fastnn import Sequential
    >>> from fastnn.layers import Dense
    >>> x, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    >>> ensemble = [Sequential([Dense(8, "tanh", input_dim=2), Dense(1)]) for _ in range(4)]
    >>> for model in ensemble:
    ...     model.compile("adam", "mse")
    >>> histories = fastnn.fit_many(ensemble, x, y, epochs=20)
    >>> [len(history.epoch) for history in histories]
    [20, 20, 20, 20]
    """
    from concurrent.futures import ThreadPoolExecutor  # it takes a tenth of fastnn's import

    chosen = _checked_models(models)
    count = len(chosen)
    jobs = get_num_threads() if n_jobs is None else whole_number(n_jobs, "n_jobs")
    inputs, targets = _arrays_for_each(x, count, "x"), _arrays_for_each(y, count, "y")
    inputs = _converted_once(inputs, chosen)
    separate = _options_for_each(options, count)
    generators = generator().spawn(count)

    stop = _Stop()

    def fit(i: int) -> History:
        with stop.at_exception(), use_threads(1), own_generator(generators[i]):
            heard = [*(separate[i].pop("callbacks", None) or ()), stop.callback()]
            return chosen[i].fit(inputs[i], targets[i], verbose=0, callbacks=heard, **separate[i])

    pool = ThreadPoolExecutor(max(1, min(jobs, count)))
    with _bar(count, verbose) as count_one, pool, stop.at_exception():
        futures = [pool.submit(fit, i) for i in range(count)]
        for future in futures:
            future.add_done_callback(count_one)
        _await(futures)
    return [future.result() for future in futures]


class _TooLateError(Exception):
    """A fit that was not begun any more."""


class _Stop:
    """Ends all fits soon after an exception, that of Ctrl-C for one; none begins after it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._callbacks: list[Callback] = []

    def callback(self) -> Callback:
        """Return a callback for one fit; raise if it should not begin any more."""
        if self._event.is_set():
            raise _TooLateError
        self._callbacks.append(_Heed(self))
        return self._callbacks[-1]

    def heed(self) -> None:
        """Stop the fits if it is time for that."""
        # A fit takes back what was said to its model before it began.
        if self._event.is_set():
            self._tell()

    def _tell(self) -> None:
        for callback in list(self._callbacks):
            if callback.model is not None:
                callback.model.stop_training = True

    @contextmanager
    def at_exception(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._event.set()
            self._tell()
            raise


class _Heed(Callback):
    """Ends a fit which begins when others are stopped."""

    _patient = True

    def __init__(self, stop: _Stop) -> None:
        super().__init__()
        self._stop = stop

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._stop.heed()


def _checked_models(models: Sequence[Sequential]) -> list[Sequential]:
    """Return the models as a list; check that they can be trained beside each other."""
    chosen = list(models)
    for model in chosen:
        if not isinstance(model, Sequential):
            raise TypeError(f"fit_many expects Sequential models, got {type(model).__name__}")
    _check_apart(chosen, "layers", lambda model: every_layer(model.layers))
    compiled = {id(model): model._require_compiled("fit_many") for model in chosen}
    _check_apart(chosen, "metrics", lambda model: compiled[id(model)].metric_objects)
    return chosen


def _check_apart(
    models: Sequence[Sequential], kind: str, parts: Callable[[Sequential], Iterable[Any]]
) -> None:
    """Check that no part of such a kind belongs to two of the models."""
    owners: dict[int, Sequential] = {}
    for model in models:
        for part in parts(model):
            if id(part) in owners:
                raise ValueError(
                    f"models that are trained at once must not share {kind}: '{part.name}' is in "
                    f"'{owners[id(part)].name}' and '{model.name}'"
                )
            owners[id(part)] = model


def _arrays_for_each(given: Any, count: int, name: str) -> list[Any]:
    """Return the array for each model: that of a list of arrays, or the same for all."""
    if isinstance(given, list | tuple) and given and all(isinstance(a, np.ndarray) for a in given):
        if len(given) != count:
            raise ValueError(
                f"{name} must have an array for each of {count} models, got {len(given)}"
            )
        return list(given)
    return [given] * count


def _converted_once(inputs: list[Any], models: Sequence[Sequential]) -> list[Any]:
    """Return `inputs` in the dtype of the models, one array where all are given the same.

    Else each fit would make a copy of its own.
    """
    dtypes = {model.dtype for model in models}
    if len(dtypes) != 1 or any(x is not inputs[0] for x in inputs):
        return inputs
    return [float_array(inputs[0], np.dtype(dtypes.pop()), "x")] * len(inputs)


def _options_for_each(options: dict[str, Any], count: int) -> list[dict[str, Any]]:
    separate = [dict(options) for _ in range(count)]
    for name in _OF_EACH:
        value = options.get(name)
        if not isinstance(value, list):
            if name == "callbacks" and value is not None:
                raise TypeError("callbacks must be a list with a sequence of them for each model")
            continue
        if len(value) != count:
            raise ValueError(
                f"{name} must have an entry for each of {count} models, got {len(value)}"
            )
        for each, own in zip(separate, value, strict=True):
            each[name] = own
    return separate


@contextmanager
def _bar(count: int, verbose: int) -> Iterator[Callable[[Future[History]], object]]:
    """Context with what is to be called with each of `count` models that is done."""
    if not verbose:
        yield lambda _: None
        return
    from tqdm import tqdm

    with tqdm(total=count, unit="model") as bar:
        yield lambda future: None if future.cancelled() else bar.update()


def _await(futures: Sequence[Future[History]]) -> None:
    """Wait for all; raise the first exception at once and take back what has not begun."""
    from concurrent.futures import FIRST_EXCEPTION, wait

    left = set(futures)
    try:
        while left:
            # Woken for each model, this thread would take a processor from one that trains.
            done, left = wait(left, return_when=FIRST_EXCEPTION)
            _raise_from(done)
    finally:
        for future in left:
            future.cancel()


def _raise_from(done: Iterable[Future[History]]) -> None:
    """Raise what one of them has raised, unless it came too late to begin."""
    for future in done:
        error = future.exception()
        if error is not None and not isinstance(error, _TooLateError):
            raise error
