"""ONNX Runtime."""

from __future__ import annotations

import numpy as np
import threads
from networks import Weights

from contenders.protocol import Contender


class OnnxNetwork(Contender):
    """A session whose output is bound to an array once for every size of batch."""

    module = "onnxruntime"

    def __init__(self, weights: Weights) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads.count(), 1
        self.session = onnxruntime.InferenceSession(
            onnx_model(weights), options, providers=["CPUExecutionProvider"]
        )
        self.binding = self.session.io_binding()
        self.out = np.empty((0, len(weights[-1])), np.float32)

    def predict(self, x: np.ndarray) -> np.ndarray:
        if len(self.out) != len(x):
            self.out = np.empty((len(x), self.out.shape[1]), np.float32)
            self.binding.bind_output(
                "y", "cpu", 0, np.float32, self.out.shape, self.out.ctypes.data
            )
        self.binding.bind_cpu_input("x", x)
        self.session.run_with_iobinding(self.binding)
        return self.out


def onnx_model(weights: Weights) -> bytes:
    """Return the network as an ONNX file: Gemm and Relu in turn, then Softmax."""
    from onnx import TensorProto, helper, numpy_helper

    constants = [numpy_helper.from_array(w, f"w{i}") for i, w in enumerate(weights)]
    nodes, value = [], "x"
    for i in range(0, len(weights), 2):
        nodes.append(helper.make_node("Gemm", [value, f"w{i}", f"w{i + 1}"], [f"z{i}"]))
        last = i == len(weights) - 2
        value = "y" if last else f"a{i}"
        nodes.append(helper.make_node("Softmax" if last else "Relu", [f"z{i}"], [value]))
    inputs, outputs = ["n", len(weights[0])], ["n", len(weights[-1])]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, outputs)],
        constants,
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8).SerializeToString()
