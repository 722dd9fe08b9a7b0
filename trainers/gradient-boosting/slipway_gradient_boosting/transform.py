"""What happens to the features before the trees see them, in NumPy; `onnx_export` says the same in ONNX.

Every operation is one float32 operation on both sides, so that the two agree to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .dataset import Dataset, Matrix
from .parameters import Parameters


@dataclass(frozen=True)
class BucketTable:
    feature: int
    per_unit: np.float32
    #: Mean of the target in the training rows by bucket, as long as the largest bucket of the data.
    means: NDArray[np.float32]


@dataclass(frozen=True)
class Transform:
    #: Positions in the declared feature vector of the features that the trees use.
    selected: tuple[int, ...]
    #: Per declared feature; 0 and 1 where nothing is standardized.
    mean: NDArray[np.float32]
    deviation: NDArray[np.float32]
    #: False: the model gets values that are standardized already.
    scale_in_graph: bool
    bucket: BucketTable | None

    @property
    def scales(self) -> bool:
        return bool(np.any(self.mean != 0) or np.any(self.deviation != 1))

    def model_inputs(self, raw: Matrix) -> Matrix:
        """What the exported model is fed with."""
        if self.scale_in_graph or not self.scales:
            return raw
        return (raw - self.mean) / self.deviation

    def tree_inputs(self, raw: Matrix) -> Matrix:
        """What the trees are fed with."""
        scaled = (raw - self.mean) / self.deviation if self.scales else raw
        columns = [scaled[:, list(self.selected)]]
        if self.bucket is not None:
            columns.append(
                self.bucket.means[bucket_of(raw, self.bucket.feature, self.bucket.per_unit)][:, None]
            )
        return np.ascontiguousarray(np.hstack(columns), dtype=np.float32)


def bucket_of(raw: Matrix, feature: int, per_unit: np.float32) -> NDArray[np.int64]:
    return np.floor(raw[:, feature] * per_unit).astype(np.int64)


def fit_transform(data: Dataset, declared: tuple[str, ...], parameters: Parameters) -> Transform:
    train = data.features[: data.train_rows]
    mean = np.zeros(len(declared), dtype=np.float32)
    deviation = np.ones(len(declared), dtype=np.float32)
    for name in parameters.standardize:
        index = declared.index(name)
        mean[index] = train[:, index].mean(dtype=np.float64)
        # A constant column has deviation 0: it is centred and left at that.
        deviation[index] = train[:, index].std(dtype=np.float64) or 1.0
    return Transform(
        selected=tuple(declared.index(name) for name in parameters.features),
        mean=mean,
        deviation=deviation,
        scale_in_graph=parameters.scaler_in_graph,
        bucket=_fit_bucket(data, declared, parameters) if parameters.bucket_feature else None,
    )


def _fit_bucket(data: Dataset, declared: tuple[str, ...], parameters: Parameters) -> BucketTable:
    feature = declared.index(parameters.bucket_feature)
    per_unit = np.float32(parameters.buckets_per_unit)
    buckets = np.maximum(bucket_of(data.features, feature, per_unit), 0)
    labels = data.target[: data.train_rows].astype(np.float64)
    size = int(buckets.max()) + 1
    sums = np.bincount(buckets[: data.train_rows], weights=labels, minlength=size)
    counts = np.bincount(buckets[: data.train_rows], minlength=size)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), labels.mean())
    return BucketTable(feature, per_unit, means.astype(np.float32))
