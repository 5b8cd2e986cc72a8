"""What the book's initialisation, cost and data do, with confidence intervals.

The eight variants are a full factorial: each of three factors is the article's or the book's. An
effect is a contrast, a weighted sum of variants' means:

- the main effect of `init`: the mean of the four variants with the book's initialisation, less
  that of the four with the article's
- the interaction `init x cost`: how much larger the effect of `init` is with the book's cost than
  with the article's, averaged over `data`. With three factors: how much the interaction of two
  grows with the third.
- an effect "with the article's init": the same among the four variants with that initialisation
"""

import itertools

import numpy as np
from scipy import stats

from study.variants import VARIANTS

FACTORS = ("init", "cost", "data")
RESAMPLES = 10_000
MIN_RUNS = 5  # to say something about a mean


def get_levels(variant):
    """Return for each of the FACTORS whether the variant of this name has the book's."""
    settings = VARIANTS[variant]
    return {factor: getattr(settings, f"book_{factor}") for factor in FACTORS}


def create_contrast(factors, init=None):
    """Return the weights of an effect by variant: of one factor, or of several that interact.

    With `init`, True for the book's and False for the article's, the effect is the one among the
    variants with this initialisation.
    """
    contrast = {}
    for name, variant in VARIANTS.items():
        levels = get_levels(name)
        if variant.normalized or (init is not None and levels["init"] != init):
            continue
        signs = [1 if levels[factor] else -1 for factor in factors]
        num_averaged = len(FACTORS) - len(factors) - (init is not None)
        contrast[name] = np.prod(signs) / 2**num_averaged
    return contrast


def create_contrasts():
    """Return the contrasts that are reported, by name."""
    contrasts = {
        " x ".join(factors): create_contrast(factors)
        for size in (1, 2, 3)
        for factors in itertools.combinations(FACTORS, size)
    }
    for whose, init in {"article": False, "book": True}.items():
        for factor in ("cost", "data"):
            contrasts[f"{factor}, with the {whose}'s init"] = create_contrast([factor], init)
    contrasts["all three: book - article"] = {"book": 1, "article": -1}
    contrasts["normalized - article"] = {"normalized": 1, "article": -1}
    return contrasts


def estimate(contrast, values):
    """Return an effect on the mean of `values`, and its 95 % confidence interval: three floats.

    `values` is a table of floats, a row for each seed and a column for each variant. Runs of the
    same seed have much in common (variants with the same initialisation start from the same
    weights), so the seeds are resampled, each with its runs. Where runs are missing (NaN), what
    is left of each variant is resampled by itself. Without `MIN_RUNS` of each, all three are NaN.
    """
    columns = values[list(contrast)].to_numpy(dtype=float)
    weights = np.array(list(contrast.values()))
    cells = [column[~np.isnan(column)] for column in columns.T]
    if min(map(len, cells)) < MIN_RUNS:
        return np.nan, np.nan, np.nan

    if np.isnan(columns).any():
        effect = sum(weight * cell.mean() for weight, cell in zip(weights, cells, strict=True))
        return effect, *bootstrap_interval(cells, weights)
    effects = columns @ weights  # one of each seed
    return effects.mean(), *bootstrap_interval([effects], [1])


def bootstrap_interval(samples, weights):
    """Return the 95 % confidence interval of the weighted sum of the samples' means.

    By bootstrap (BCa, bias-corrected and accelerated): no distribution is assumed, and where some
    runs are stuck, it is far from a normal one. Both ends are NaN if all values are the same.
    """

    def sum_means(*samples, axis):
        return sum(
            weight * sample.mean(axis=axis) for weight, sample in zip(weights, samples, strict=True)
        )

    if all(np.ptp(sample) < 1e-12 for sample in samples):
        return np.nan, np.nan
    interval = stats.bootstrap(
        samples, sum_means, n_resamples=RESAMPLES, method="BCa", rng=0
    ).confidence_interval
    return interval.low, interval.high


def share_interval(count, n):
    """Return the 95 % confidence interval of a probability, seen `count` times of n: Wilson's."""
    interval = stats.binomtest(int(count), n).proportion_ci(method="wilson")
    return interval.low, interval.high
