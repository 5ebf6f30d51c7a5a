import numpy as np

from fastnn.native.parts import Parts
from fastnn.native.team import Pace
from fastnn.program import Dataset, Objective, OptimizerState, Program, UpdateRule

class Trainer:
    totals: np.ndarray
    rows: int
    state: OptimizerState
    def __init__(
        self,
        program: Program,
        objective: Objective,
        rule: UpdateRule,
        state: OptimizerState,
        capacity: int,
        parts: Parts,
        pace: Pace,
    ) -> None: ...
    def reset(self) -> None: ...
    def train(
        self,
        data: Dataset,
        order: np.ndarray | None,
        batch_size: int,
        first: int,
        hyperparameters: np.ndarray,
        budget: float,
        ends: np.ndarray | None = None,
    ) -> int: ...
    def evaluate(self, data: Dataset, batch_size: int, first: int, budget: float) -> int: ...
    def gradient(self, data: Dataset, out: np.ndarray) -> None: ...
