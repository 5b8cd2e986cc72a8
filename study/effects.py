"""What the book's initialisation, cost and data do, with confidence intervals.

The eight variants are a full factorial: each of three factors is the article's or the book's. An
effect is a contrast, a weighted sum of variants' means:

- the main effect of `init`: the mean of the four variants with the book's initialisation, less
  that of the four with the article's
- the interaction `init x cost`: how much larger the effect of `init` is with the book's cost than
  with the article's, averaged over `data`. With three factors: how much the interaction of two
  grows with the third.
- an effect "with the article's init": the same among the four variants with that initialisation
  only, and so on
"""

import itertools

import numpy as np
from scipy import stats

from study.variants import VARIANTS

FACTORS = ("init", "cost", "data")
RESAMPLES = 10_000
MIN_RUNS = 20  # for an interval: BCa's, of 50, 20 and 5 runs, hold the mean in 94, 91 and 82 %


def create_contrast(factors, **fixed):
    """Return the weights of an effect by variant: of one factor, or of several that interact.

    With `init=True`, say, the effect is the one among the variants with the book's
    initialisation; False stands for the article's.
    """
    contrast = {}
    for name, variant in VARIANTS.items():
        levels = {factor: getattr(variant, f"book_{factor}") for factor in FACTORS}
        if variant.normalized or fixed.items() - levels.items():
            continue
        signs = [1 if levels[factor] else -1 for factor in factors]
        num_averaged = len(FACTORS) - len(factors) - len(fixed)
        contrast[name] = np.prod(signs) / 2**num_averaged
    return contrast


def create_contrasts():
    """Return the contrasts that are reported, by name."""
    contrasts = {
        " x ".join(factors): create_contrast(factors)
        for size in (1, 2, 3)
        for factors in itertools.combinations(FACTORS, size)
    }
    for factor in ("cost", "data"):
        for whose, is_book in {"article": False, "book": True}.items():
            contrast = create_contrast([factor], init=is_book)
            contrasts[f"{factor}, with the {whose}'s init"] = contrast
    return contrasts | {
        "cost and data: cost+data - article": {"cost+data": 1, "article": -1},
        "init: book - cost+data": {"book": 1, "cost+data": -1},
        "all three: book - article": {"book": 1, "article": -1},
        "normalized - article": {"normalized": 1, "article": -1},
    }


def estimate(contrast, values):
    """Return an effect on the mean of `values`, and its 95 % confidence interval: three floats.

    `values` is a table of floats, a row for each seed and a column for each variant; where a run
    is missing, it is NaN. Runs of the same seed have much in common (variants with the same
    initialisation start from the same weights), so the seeds are resampled, each with its runs: a
    bootstrap (BCa, bias-corrected and accelerated). It assumes no distribution; where some runs
    miss a digit, it is far from a normal one. The interval is NaN if a variant has less than
    `MIN_RUNS` runs or all seeds have the same effect; the effect is, if a variant has none.
    """
    runs = values[list(contrast)].to_numpy(dtype=float)
    weights = np.array(list(contrast.values()))

    def calc_effect(seeds, axis=-1):  # rows of the table, by the last dimension
        return np.nanmean(runs[seeds], axis=-2) @ weights

    num_runs = (~np.isnan(runs)).sum(axis=0)
    if num_runs.min() == 0:
        return np.nan, np.nan, np.nan
    seeds = np.arange(len(runs))
    effect = calc_effect(seeds)
    # Where all seeds agree, there is nothing to resample: BCa would only warn, and give NaN.
    by_seed = np.nan_to_num(runs - np.nanmean(runs, axis=0)) @ weights
    if num_runs.min() < MIN_RUNS or np.ptp(by_seed) < 1e-12:
        return effect, np.nan, np.nan
    interval = stats.bootstrap(
        [seeds], calc_effect, n_resamples=RESAMPLES, batch=1_000, method="BCa", rng=0
    ).confidence_interval
    return effect, interval.low, interval.high


def share_interval(count, n):
    """Return the 95 % confidence interval of a probability, seen `count` times of n: Wilson's."""
    interval = stats.binomtest(count, n).proportion_ci(method="wilson")
    return interval.low, interval.high
