"""OpenVINO."""

from __future__ import annotations

from typing import Any

import numpy as np
import threads
from networks import Weights

from contenders.onnx_network import onnx_model
from contenders.protocol import Contender


class OpenvinoNetwork(Contender):
    """A model compiled for each size of batch, for low latency, in float32."""

    module = "openvino"

    def __init__(self, weights: Weights) -> None:
        import openvino

        self.openvino = openvino
        self.core = openvino.Core()
        self.model = self.core.read_model(onnx_model(weights))
        self.inputs = len(weights[0])
        self.requests: dict[int, Any] = {}

    def _request(self, rows: int) -> Any:
        if rows not in self.requests:
            self.model.reshape([rows, self.inputs])
            options = {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads.count(),
                "INFERENCE_PRECISION_HINT": "f32",
            }
            compiled = self.core.compile_model(self.model, "CPU", options)
            self.requests[rows] = compiled.create_infer_request()
        return self.requests[rows]

    def predict(self, x: np.ndarray) -> np.ndarray:
        request = self._request(len(x))
        request.set_input_tensor(self.openvino.Tensor(x, shared_memory=True))
        request.infer(share_outputs=True)
        return request.get_output_tensor().data
