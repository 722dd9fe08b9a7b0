"""The dataset snapshot as matrices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
from numpy.typing import NDArray

from .parameters import BadInputError

Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Dataset:
    """Rows in time order; the first `train_rows` train, the rest are held out."""

    row_numbers: NDArray[np.int64]
    features: Matrix
    target: NDArray[np.float32]
    train_rows: int


def read_dataset(path: Path, features: Sequence[str], target: str, holdout: float) -> Dataset:
    columns = ["row_number", *features, target]
    try:
        # One thread: the order of the rows is the order of the file.
        with duckdb.connect(config={"threads": 1}) as connection:
            picked = ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
            table = connection.execute(f"SELECT {picked} FROM read_parquet(?)", [str(path)]).fetchnumpy()  # noqa: S608
    except duckdb.Error as error:
        raise BadInputError(f"cannot read the data: {error}") from error
    matrix = np.column_stack([_numbers(table[name], name) for name in features]).astype(np.float32)
    labels = _numbers(table[target], target).astype(np.float32)
    rows = len(labels)
    train_rows = rows - round(rows * holdout)
    _check(matrix, labels, features, target, train_rows)
    return Dataset(
        row_numbers=_numbers(table["row_number"], "row_number").astype(np.int64),
        features=np.ascontiguousarray(matrix),
        target=labels,
        train_rows=train_rows,
    )


def _numbers(column: NDArray, name: str) -> NDArray:
    if isinstance(column, np.ma.MaskedArray):
        if np.ma.is_masked(column):
            raise BadInputError(f"column {name} has missing values")
        column = column.data
    if column.dtype.kind not in "biuf":
        raise BadInputError(f"column {name} is not numeric")
    return column


def _check(matrix: Matrix, labels: Matrix, features: Sequence[str], target: str, train_rows: int) -> None:
    if not 2 <= train_rows < len(labels):
        raise BadInputError(f"{len(labels)} rows are too few to train and to hold out")
    for index, name in enumerate(features):
        if not np.isfinite(matrix[:, index]).all():
            raise BadInputError(f"column {name} has a value that is not finite")
    if not np.isin(labels, (0, 1)).all():
        raise BadInputError(f"column {target} must be 0 or 1")
    for part, values in (("training", labels[:train_rows]), ("held-out", labels[train_rows:])):
        if values.min() == values.max():
            raise BadInputError(f"column {target} has only one class in the {part} rows")
