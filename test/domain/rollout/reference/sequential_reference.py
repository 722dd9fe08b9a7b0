"""The e-values of domain/rollout, computed a second time with NumPy and SciPy from the formulas as they are written in
textbooks: probabilities first, then their logarithms (the product computes ratios without ever forming a probability).

Reads a JSON list of cases on stdin, prints the list of their natural-log e-values.
"""

import json
import sys

import numpy as np
from scipy.special import betaln, logsumexp, xlog1py, xlogy


def log_likelihood(bad, good, rate):
    return xlogy(bad, rate) + xlog1py(good, -np.asarray(rate))


def mixture(logs):
    return logsumexp(logs) - np.log(len(logs))


def theta(share, ratio):
    return share * ratio / (share * ratio + 1 - share)


def ratio(case):
    alternatives = np.array(case["alternatives"])
    logs = np.zeros(len(alternatives))
    for share, own, other in case["events"]:
        alternative = log_likelihood(own, other, theta(share, alternatives))
        logs += alternative - log_likelihood(own, other, theta(share, case["null"]))
    return mixture(logs)


def binomial(case):
    bad, good = case["bad"], case["trials"] - case["bad"]
    alternative = log_likelihood(bad, good, np.array(case["alternatives"]))
    return mixture(alternative - log_likelihood(bad, good, case["null"]))


def regression(case):
    tolerated = 1 + case["tolerance"]
    ratios = np.array([1.5, 2, 3, 5, 10, 20])
    if not case["absolute"]:
        return ratio({**case, "null": tolerated, "alternatives": ratios * tolerated})
    null = min(0.99, case["negligible"] * tolerated)
    return binomial({**case, "null": null, "alternatives": np.minimum(ratios * null, 1 - (1 - null) / 20)})


def safety(case):
    parts = np.array([0, 0.1, 0.25, 0.5])
    if case["absolute"]:
        null = min(0.99, case["negligible"] * case["margin"])
        return binomial({**case, "null": null, "alternatives": parts * null})
    margin = case["margin"]
    relative = ratio({**case, "null": margin, "alternatives": [0.5, 0.75, 1, margin**0.5]})
    if case["negligible"] == 0:
        return relative
    null = case["negligible"]
    return mixture([relative, binomial({**case, "null": null, "alternatives": parts * null})])


def sample_ratio(case):
    log = 0.0
    for share, own, other in case["totals"]:
        a, b = 100 * share, 100 * (1 - share)
        log += betaln(a + own, b + other) - betaln(a, b) - log_likelihood(own, other, share)
    return log


KINDS = {
    "ratio": ratio,
    "binomial": binomial,
    "regression": regression,
    "safety": safety,
    "sampleRatio": sample_ratio,
}

cases = json.load(sys.stdin)
json.dump([float(KINDS[case["kind"]](case)) for case in cases], sys.stdout)
