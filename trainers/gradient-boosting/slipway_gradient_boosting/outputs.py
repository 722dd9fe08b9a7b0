"""The four files of the contract, `result.json` last: its presence says that the others are whole."""

from __future__ import annotations

import hashlib
import json
import platform
from pathlib import Path

import duckdb
import numpy as np
import onnx
import xgboost

from .checkpoint import write_atomically
from .dataset import Dataset, Matrix
from .job import Job
from .parameters import descriptor
from .transform import Transform


def environment() -> dict[str, object]:
    return {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "packages": {
            "duckdb": duckdb.__version__,
            "numpy": np.__version__,
            "onnx": onnx.__version__,
            "xgboost": xgboost.__version__,
        },
    }


def write_predictions(path: Path, data: Dataset, inputs: Matrix, score: Matrix, threshold: float) -> None:
    held = slice(data.train_rows, None)
    columns = {
        f"input_{index}": np.ascontiguousarray(inputs[held, index]) for index in range(inputs.shape[1])
    }
    columns["row_number"] = data.row_numbers[held]
    columns["score"] = score
    columns["predicted"] = (score >= np.float32(threshold)).astype(np.int64)
    columns["label"] = data.target[held].astype(np.int64)
    listed = ", ".join(f"input_{index}" for index in range(inputs.shape[1]))
    temporary = path.with_name(f".{path.name}")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("held_out", columns)
        connection.execute(
            f"COPY (SELECT row_number, [{listed}]::FLOAT[] AS inputs, score, predicted, label FROM held_out) "  # noqa: S608
            f"TO '{str(temporary).replace(chr(39), chr(39) * 2)}' (FORMAT parquet, COMPRESSION zstd)"
        )
    temporary.replace(path)


def write_json(path: Path, content: dict[str, object]) -> None:
    text = json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False)
    write_atomically(path, text.encode() + b"\n")


def write_result(job: Job, data: Dataset, transform: Transform) -> None:
    trainer = descriptor()
    scaled_upstream = [] if transform.scale_in_graph else list(job.parameters.standardize)
    files = {
        name: {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
        for name in ("metrics.json", "model.onnx", "predictions.parquet")
        for content in [(job.output_folder / name).read_bytes()]
    }
    write_json(
        job.output_folder / "result.json",
        {
            "contract": trainer["contract"],
            "jobId": job.job_id,
            "trainer": {"name": trainer["name"], "version": trainer["version"]},
            "seed": job.seed,
            "parameters": job.parameters.as_json(),
            "features": list(job.features),
            "expectedStandardized": scaled_upstream,
            "rows": {"train": data.train_rows, "heldOut": len(data.target) - data.train_rows},
            "environment": environment(),
            "files": files,
        },
    )
