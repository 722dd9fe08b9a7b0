"""Parameters, checked against ``trainer.json``: the table that the launcher's side reads too."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path


class BadInputError(Exception):
    """The job can never succeed as it is: exit code 64."""


@dataclass(frozen=True)
class Parameters:
    trees: int
    max_depth: int
    learning_rate: float
    subsample: float
    checkpoint_every: int
    holdout: float
    threshold: float
    device: str
    features: tuple[str, ...]
    standardize: tuple[str, ...]
    scaler_in_graph: bool
    bucket_feature: str
    buckets_per_unit: int

    def as_json(self) -> dict[str, object]:
        return asdict(self)


@cache
def descriptor() -> dict[str, object]:
    path = Path(__file__).resolve().parent.parent / "trainer.json"
    return json.loads(path.read_text(encoding="utf-8"))


def check_parameters(raw: dict[str, object], declared: Sequence[str]) -> Parameters:
    """Raises `BadInputError` with every problem, not only the first."""
    table: dict[str, dict[str, object]] = descriptor()["parameters"]  # type: ignore[assignment]
    problems = [
        f"unknown parameter {name}; known are {', '.join(table)}" for name in raw if name not in table
    ]
    values: dict[str, object] = {}
    for name, rule in table.items():
        try:
            values[name] = _value(name, raw.get(name, rule["default"]), rule)
        except BadInputError as error:
            problems.append(str(error))
    if not problems:
        problems = _across(values, declared)
    if problems:
        raise BadInputError("; ".join(problems))
    values["features"] = values["features"] or tuple(declared)
    return Parameters(**values)  # type: ignore[arg-type]


def _value(name: str, value: object, rule: dict[str, object]) -> object:
    kind = rule["type"]
    if kind == "strings":
        names = [part.strip() for part in value.split(",")] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(part, str) and part for part in names):
            raise BadInputError(f"{name} must be a list of names")
        if len(set(names)) != len(names):
            raise BadInputError(f"{name} must not repeat a name")
        return tuple(names)
    expected = {"integer": int, "number": (int, float), "string": str, "boolean": bool}[str(kind)]
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "boolean"):
        raise BadInputError(f"{name} must be of type {kind}, not {json.dumps(value)}")
    if "values" in rule and value not in rule["values"]:  # type: ignore[operator]
        raise BadInputError(f"{name} must be one of {', '.join(rule['values'])}")  # type: ignore[arg-type]
    if "min" in rule and not (math.isfinite(value) and rule["min"] <= value <= rule["max"]):  # type: ignore
        raise BadInputError(f"{name} must be from {rule['min']} to {rule['max']}, not {value}")
    return float(value) if kind == "number" else value  # type: ignore[arg-type]


def _across(values: dict[str, object], declared: Sequence[str]) -> list[str]:
    problems: list[str] = []
    used: tuple[str, ...] = values["features"] or tuple(declared)  # type: ignore[assignment]
    problems += [
        f"features names {name}, which the model does not declare" for name in used if name not in declared
    ]
    scaled: tuple[str, ...] = values["standardize"]  # type: ignore[assignment]
    problems += [
        f"standardize names {name}, which is not among the features used"
        for name in scaled
        if name not in used
    ]
    bucket = values["bucket_feature"]
    if bucket and bucket not in declared:
        problems.append(f"bucket_feature names {bucket}, which the model does not declare")
    if bucket and bucket in scaled and not values["scaler_in_graph"]:
        problems.append(
            f"bucket_feature {bucket} cannot be standardized outside the model: buckets are of raw values"
        )
    return problems
