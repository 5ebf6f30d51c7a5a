"""Makes the job of one contender in one case, after checking that it computes the right thing."""

from __future__ import annotations

from importlib import import_module

import contenders
import dense
import elementwise
import layer_jobs
import loss_values
import numpy as np
import orders
import probe
import products
import whole_networks
from timing import Job

LIMITS = {"peak": probe.Peak, "tile": probe.Tile}
MAKERS = {
    "kernels": products.product,
    "bandwidth": products.reading,
    "forward": dense.forward,
    "backward": dense.backward,
    "elementwise": elementwise.function,
    "losses": loss_values.loss,
    "orders": orders.order,
    "layer forward": layer_jobs.forward,
    "layer training": layer_jobs.train,
    "predict": whole_networks.predict,
    "predict method": whole_networks.predict_method,
    "train": whole_networks.train,
    "fit": whole_networks.fit,
}


def make(contender: str, task: str, parameters: tuple) -> Job:
    """Return the job of this contender.

    Raises
    ------
    WrongResultError
        If it computes something else.
    """
    if contender in LIMITS:  # the same in every task
        return LIMITS[contender]()
    return MAKERS[task](contender, *parameters)


def prepare(contender: str) -> str:
    """Import what the contender needs, and return its version if it has one.

    Raises
    ------
    ImportError
        If it cannot take part here.
    """
    if contender in contenders.CLASSES:
        network = contenders.load(contender)
        network([np.zeros((3, 3), np.float32), np.zeros(3, np.float32)])
        return import_module(network.module).__version__
    if contender == "OpenBLAS":
        return probe.openblas()["version"]
    probe.library()
    return ""
