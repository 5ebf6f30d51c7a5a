from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from fastnn.callbacks import Callback
from fastnn.native.trainer import Trainer
from fastnn.program import Objective, OptimizerState, Program, UpdateRule

class FastCall:
    _native: NativeEngine | None
    def __call__(self, x: ArrayLike, training: bool = False) -> np.ndarray: ...
    def predict(
        self,
        x: ArrayLike,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        callbacks: Sequence[Callback] | None = None,
    ) -> np.ndarray: ...

class NativeEngine:
    name: str
    reads_indices: bool
    transposed_first: int
    transposed_end: int
    def __init__(self, program: Program) -> None: ...
    def forward(self, x: np.ndarray, out: np.ndarray) -> None: ...
    def room_for(self, objective: Objective, batch_size: int) -> tuple[int, int]: ...
    def trainer(
        self, objective: Objective, rule: UpdateRule, state: OptimizerState, capacity: int
    ) -> Trainer: ...
