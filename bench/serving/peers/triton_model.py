"""Triton's Python backend around ONNX Runtime: one run for everything that the dynamic batcher hands over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list) -> list:
        rows = [triton.get_input_tensor_by_name(request, "features").as_numpy() for request in requests]
        features = rows[0] if len(rows) == 1 else np.concatenate(rows)
        labels, scores = self._session.run(["label", "score"], {"features": features})
        responses = []
        start = 0
        for part in rows:
            end = start + len(part)
            outputs = [
                triton.Tensor("label", labels[start:end, None]),
                triton.Tensor("score", scores[start:end, None]),
            ]
            responses.append(triton.InferenceResponse(output_tensors=outputs))
            start = end
        return responses
