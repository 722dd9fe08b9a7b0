"""One job from data to the four files of the contract."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import xgboost

from . import boosting, onnx_export, outputs
from .checkpoint import CheckpointStore, write_atomically
from .dataset import read_dataset
from .evaluation import evaluate
from .events import EventStream
from .job import Job, read_job
from .transform import fit_transform


def train(job_path: Path, events: EventStream, interrupted: Callable[[], bool]) -> None:
    job = read_job(job_path)
    parameters = job.parameters
    boosting.check_device(parameters.device)
    data = read_dataset(job.data, job.features, job.target, parameters.holdout)
    transform = fit_transform(data, job.features, parameters)
    inputs = transform.tree_inputs(data.features)
    held_inputs, held_target = inputs[data.train_rows :], data.target[data.train_rows :]
    events.progress(0.05, f"{data.train_rows} rows to train on, {len(held_target)} held out")

    store = CheckpointStore(job.checkpoint_folder, fingerprint(job, outputs.environment()))
    start, reason = store.load()
    events.log("info", f"resumed at tree {start.step}" if start else f"starting at tree 0: {reason}")

    def on_chunk(step: int, booster: xgboost.Booster) -> None:
        events.checkpoint(str(store.path), step)
        score = boosting.predict(booster, held_inputs)
        events.metric("heldOutLogLoss", evaluate(held_target, score, parameters.threshold)["logLoss"], step)
        events.progress(0.05 + 0.85 * step / parameters.trees, f"{step} of {parameters.trees} trees")

    train_part = inputs[: data.train_rows]
    target = data.target[: data.train_rows]
    booster = boosting.boost(
        train_part,
        target,
        parameters=parameters,
        seed=job.seed,
        store=store,
        start=start,
        on_chunk=on_chunk,
        interrupted=interrupted,
    )

    score = boosting.predict(booster, held_inputs)
    metrics = evaluate(held_target, score, parameters.threshold)
    job.output_folder.mkdir(parents=True, exist_ok=True)
    model = onnx_export.export(booster, transform, len(job.features), parameters.threshold)
    write_atomically(job.output_folder / "model.onnx", model)
    outputs.write_json(job.output_folder / "metrics.json", dict(metrics))
    outputs.write_predictions(
        job.output_folder / "predictions.parquet",
        data,
        transform.model_inputs(data.features),
        score,
        parameters.threshold,
    )
    outputs.write_result(job, data, transform)
    for name, value in metrics.items():
        events.metric(name, value, parameters.trees)
    events.progress(1.0, "exported")


def fingerprint(job: Job, environment: dict[str, object]) -> str:
    """Of all that decides the trees: data, parameters, seed, code, packages; not folders or ids."""
    digest = hashlib.sha256()
    for source in sorted(Path(__file__).resolve().parent.glob("*.py")):
        digest.update(source.read_bytes())
    digest.update(hashlib.sha256(job.data.read_bytes()).digest())
    decisive = [job.features, job.target, job.parameters.as_json(), job.seed, environment]
    digest.update(json.dumps(decisive, sort_keys=True).encode())
    return digest.hexdigest()
