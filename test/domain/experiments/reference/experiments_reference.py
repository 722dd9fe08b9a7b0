"""Answers questions about experiments with NumPy and SciPy: JSON list on stdin, JSON list of number lists on stdout."""

import json
import sys

import numpy as np
from scipy.optimize import brentq
from scipy.special import betaln, expit, logit, logsumexp, xlog1py, xlogy
from scipy.stats import beta

STAKES = [0.5 / 2**k for k in range(14)]
CENTRES = {"conversion": [0, 0.1, 0.3, 0.5, 0.7, 0.9, 1], "reward": [k / 20 for k in range(21)]}


def log_mean_exp(values):
    return logsumexp(values) - np.log(len(values))


def price(stake):
    return -np.log(1 - stake) - stake


def mean_log_e(metric, rewards, m):
    n, s = len(rewards), float(np.sum(rewards))
    likelihood = betaln(0.5 + s, 0.5 + n - s) - betaln(0.5, 0.5) - xlogy(s, m) - xlog1py(n - s, -m)
    if metric == "conversion":
        return likelihood
    x = np.array(rewards)
    terms = [sign * k * np.sum(x - m) - price(k) * np.sum((x - m) ** 2) for k in STAKES for sign in (1, -1)]
    return log_mean_exp([likelihood, log_mean_exp(terms)])


def mean_interval(metric, rewards, alpha):
    centre = np.mean(rewards)
    # At 0 and 1 themselves a likelihood that does not fit is infinite.
    gap = lambda m: mean_log_e(metric, rewards, m) - np.log(1 / alpha)
    tiny = 1e-12
    lower = 0.0 if gap(tiny) < 0 else brentq(gap, tiny, min(centre, 1 - tiny), xtol=1e-14)
    upper = 1.0 if gap(1 - tiny) < 0 else brentq(gap, max(centre, tiny), 1 - tiny, xtol=1e-14)
    return [float(lower), float(upper)]


def difference_log_e(metric, segments, delta, direction):
    terms = []
    for c in CENTRES[metric]:
        xi = []
        for segment in segments:
            w = segment["share"]
            b = max(c, 1 - c) / min(w, 1 - w) + 1
            xi += [((x - c) / w - delta) / b for x in segment["arm"]]
            xi += [(-(x - c) / (1 - w) - delta) / b for x in segment["control"]]
        xi = np.array(xi) * direction
        terms += [k * np.sum(xi) - price(k) * np.sum(xi**2) for k in STAKES]
    return float(log_mean_exp(terms))


def best_arm(posteriors):
    dists = [beta(a, b) for a, b in posteriors]
    # Sums on an even grid in log-odds, where densities are smooth and vanish at both ends, converge exponentially.
    z = np.linspace(min(logit(d.ppf(1e-14)) for d in dists) - 5, max(logit(d.isf(1e-14)) for d in dists) + 5, 100_001)
    x = expit(z)
    cdfs = [d.cdf(x) for d in dists]
    step = (z[1] - z[0]) * x * (1 - x)
    return [
        float(np.sum(own.pdf(x) * step * np.prod([c for j, c in enumerate(cdfs) if j != i], axis=0)))
        for i, own in enumerate(dists)
    ]


def answer(question):
    kind = question["kind"]
    if kind == "mean":
        return mean_interval(question["metric"], question["rewards"], question["alpha"])
    if kind == "difference":
        return [difference_log_e(question["metric"], question["segments"], d, s) for d in (-0.1, 0, 0.2) for s in (1, -1)]
    if kind == "best":
        return best_arm(question["posteriors"])
    raise ValueError(kind)


print(json.dumps([answer(question) for question in json.load(sys.stdin)]))
