"""Pictures of networks and of how they learn; needs matplotlib: ``pip install "fastnn[plot]"``.

Each function draws into the Axes that it is given, or into a new figure, and returns the Axes.

>>> from fastnn import plotting
>>> ax = plotting.activations("relu")
>>> ax.figure.savefig("relu.png")  # doctest: +SKIP
"""

from __future__ import annotations

from fastnn.plotting.boundaries import animate_decision_boundary, decision_boundary
from fastnn.plotting.flow import dead_units, gradient_flow
from fastnn.plotting.functions import activations
from fastnn.plotting.networks import network_diagram, weight_histograms
from fastnn.plotting.training import learning_curves

__all__ = [
    "activations",
    "animate_decision_boundary",
    "dead_units",
    "decision_boundary",
    "gradient_flow",
    "learning_curves",
    "network_diagram",
    "weight_histograms",
]
