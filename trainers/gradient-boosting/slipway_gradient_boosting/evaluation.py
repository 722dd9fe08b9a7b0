"""Point estimates on the held-out rows; intervals and comparisons are the validation's work."""

from __future__ import annotations

import numpy as np

from .dataset import Matrix


def evaluate(target: Matrix, score: Matrix, threshold: float) -> dict[str, float]:
    probability = np.clip(score.astype(np.float64), 1e-12, 1 - 1e-12)
    losses = np.where(target == 1, -np.log(probability), -np.log1p(-probability))
    return {
        "auc": auc(target, score),
        "accuracy": float(np.mean((score >= np.float32(threshold)) == (target == 1))),
        "logLoss": float(losses.mean()),
        "brier": float(np.mean((probability - target) ** 2)),
        "positiveShare": float(target.mean(dtype=np.float64)),
    }


def auc(target: Matrix, score: Matrix) -> float:
    """Mann-Whitney; equal scores count half."""
    _, inverse, counts = np.unique(score, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    positives = int((target == 1).sum())
    negatives = len(target) - positives
    return float((ranks[target == 1].sum() - positives * (positives + 1) / 2) / (positives * negatives))
