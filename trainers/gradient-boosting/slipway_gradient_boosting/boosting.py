"""Boosting in chunks.

After each chunk the booster is written, thrown away and read back, also when nobody interrupts: a booster
that carries on keeps cached margins and a generator that one read from a file does not have, so the two need
not agree to the last bit. This way there is only one path, and both give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import xgboost

from .checkpoint import Checkpoint, CheckpointStore
from .dataset import Matrix
from .parameters import BadInputError, Parameters


class Interrupted(Exception):  # noqa: N818
    """SIGTERM was obeyed: the checkpoint is written."""


def check_device(device: str) -> None:
    if device == "cuda" and not xgboost.build_info().get("USE_CUDA", False):
        raise BadInputError(
            "device cuda needs the packages of requirements-cuda.lock; this build is for the CPU"
        )


def boost(  # noqa: PLR0913
    inputs: Matrix,
    target: Matrix,
    *,
    parameters: Parameters,
    seed: int,
    store: CheckpointStore,
    start: Checkpoint | None,
    on_chunk: Callable[[int, xgboost.Booster], None],
    interrupted: Callable[[], bool],
) -> xgboost.Booster:
    matrix = xgboost.QuantileDMatrix(inputs, target, max_bin=256, nthread=1)
    step = start.step if start else 0
    booster = _load(start.model, parameters, seed, step) if start else None
    while booster is None or step < parameters.trees:
        if interrupted():
            raise Interrupted
        booster = booster or xgboost.Booster(_settings(parameters, seed, step), [matrix])
        until = min(step + parameters.checkpoint_every, parameters.trees)
        for iteration in range(step, until):
            booster.update(matrix, iteration)
        step = until
        model = booster.save_raw("ubj")
        store.save(Checkpoint(step, model))
        booster = _load(model, parameters, seed, step)
        on_chunk(step, booster)
    if interrupted():
        raise Interrupted
    return booster


def predict(booster: xgboost.Booster, inputs: Matrix) -> Matrix:
    return booster.inplace_predict(inputs).astype(np.float32)


def _load(model: bytearray, parameters: Parameters, seed: int, step: int) -> xgboost.Booster:
    return xgboost.Booster(_settings(parameters, seed, step), model_file=model)


def _settings(parameters: Parameters, seed: int, step: int) -> dict[str, object]:
    return {
        "objective": "binary:logistic",
        # An intercept of 0 in the margin: exact on both sides of the export.
        "base_score": 0.5,
        "tree_method": "hist",
        "device": parameters.device,
        "nthread": 1,
        "max_depth": parameters.max_depth,
        "learning_rate": parameters.learning_rate,
        "subsample": parameters.subsample,
        # A booster that is read back starts its generator anew; each chunk has its own stream.
        "seed": (seed + 7919 * step) % 2**31,
        "verbosity": 1,
    }
