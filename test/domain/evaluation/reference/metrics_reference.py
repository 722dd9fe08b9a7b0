"""Metrics of a binary classifier, computed with SciPy and NumPy. Reads {scores, labels, sorted, p} on stdin."""

import json
import sys

import numpy as np
from scipy import stats

case = json.load(sys.stdin)
scores = np.array(case["scores"])
labels = np.array(case["labels"])
positive, negative = scores[labels == 1], scores[labels == 0]
u = stats.mannwhitneyu(positive, negative, method="asymptotic").statistic
clipped = np.clip(scores, 1e-15, 1 - 1e-15)
print(
    json.dumps(
        {
            "accuracy": float(np.mean((scores >= 0.5) == labels)),
            "auc": float(u / (len(positive) * len(negative))),
            "logLoss": float(-np.mean(np.where(labels == 1, np.log(clipped), np.log1p(-clipped)))),
            "noChange": float(np.mean(labels[1:] == labels[:-1])),
            "quantiles": [float(q) for q in np.quantile(scores, case["p"])],
        }
    )
)
