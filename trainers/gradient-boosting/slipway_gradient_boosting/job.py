"""The job: what the launcher wrote into ``job.json``, checked whole before any work starts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .parameters import BadInputError, Parameters, check_parameters


@dataclass(frozen=True)
class Job:
    job_id: str
    data: Path
    features: tuple[str, ...]
    target: str
    parameters: Parameters
    seed: int
    output_folder: Path
    checkpoint_folder: Path


def read_job(path: Path) -> Job:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"cannot read the job {path}: {error}") from error
    if not isinstance(raw, dict):
        raise BadInputError("the job must be a JSON object")
    features = raw.get("features")
    if not isinstance(features, list) or not features or not all(isinstance(name, str) for name in features):
        raise BadInputError("features must be a list of at least one name")
    if len(set(features)) != len(features):
        raise BadInputError("features must not repeat a name")
    seed = raw.get("seed")
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**31:
        raise BadInputError("seed must be an integer from 0 to 2147483647")
    parameters = raw.get("parameters")
    if not isinstance(parameters, dict):
        raise BadInputError("parameters must be an object")
    return Job(
        job_id=_text(raw, "jobId"),
        data=Path(_text(raw, "data")),
        features=tuple(features),
        target=_text(raw, "target"),
        parameters=check_parameters(parameters, features),
        seed=seed,
        output_folder=Path(_text(raw, "outputFolder")),
        checkpoint_folder=Path(_text(raw, "checkpointFolder")),
    )


def _text(raw: dict[str, object], key: str) -> str:
    value = raw.get(key)
    if not isinstance(value, str) or not value:
        raise BadInputError(f"{key} must be a non-empty string")
    return value
