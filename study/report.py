"""What many runs say together, in numbers."""

import pandas as pd

from pytorch_mnist import OUTPUT_SIZE
from study import effects
from study.variants import PUBLISHED

MISSED = 0.5  # a run misses a digit if it misses more of the digit's test images in the end
AFTER = "after_epoch_"  # and its number: a column of accuracies


def tabulate_runs(results):
    """Return a table of one row a run, in the order of `results`, dicts of `variants.train`."""
    return pd.DataFrame(
        {
            "variant": result["variant"],
            "seed": result["seed"],
            "accuracy": result["accuracy"],
            **{f"error_{digit}": error for digit, error in enumerate(result["error_per_digit"])},
            "seconds": result["seconds"],
            **{
                f"{AFTER}{epoch}": accuracy
                for epoch, accuracy in enumerate(result["accuracy_after_epoch"], start=1)
            },
        }
        for result in results
    )


def get_accuracy_after_epoch(runs):
    """Return the accuracies [run, epoch], floats, of a table of runs."""
    return runs.filter(like=AFTER).to_numpy()


def find_missed_digits(runs):
    """Return a table of booleans: does the run [row] miss the digit [column]?"""
    return runs[[f"error_{digit}" for digit in range(OUTPUT_SIZE)]] > MISSED


def misses_a_digit(runs):
    """Return for each run whether it misses a digit, or several."""
    return find_missed_digits(runs).any(axis=1)


def summarise(runs):
    """Return a table of one row a variant; accuracies and shares are in per cent.

    The first interval is of the mean, the second of the share of runs that miss a digit; the
    last mean is of the others.
    """
    return pd.DataFrame(
        [
            _summarise_variant(variant, variant_runs)
            for variant, variant_runs in runs.groupby("variant", sort=False)
        ]
    )


def _summarise_variant(variant, runs):
    accuracy = 100 * runs["accuracy"]
    misses = misses_a_digit(runs)
    _, low, high = effects.estimate({variant: 1}, pd.DataFrame({variant: accuracy}))
    share_low, share_high = effects.share_interval(misses.sum(), len(runs))
    return {
        "variant": variant,
        "n": len(runs),
        "mean": accuracy.mean(),
        "mean_low": low,
        "mean_high": high,
        "std": accuracy.std(),
        "min": accuracy.min(),
        "max": accuracy.max(),
        "missing": misses.sum(),
        "share_low": 100 * share_low,
        "share_high": 100 * share_high,
        "mean_of_others": accuracy[~misses].mean(),
    }


def estimate_effects(runs):
    """Return a table of one row an effect, for which all variants are there.

    Each is estimated, in points with its interval, for three outcomes: the mean of all runs, the
    share of runs that miss a digit, and the mean of the others.
    """
    misses = misses_a_digit(runs)
    outcomes = {
        "mean": 100 * runs["accuracy"],
        "share": 100.0 * misses,
        "mean_of_others": 100 * runs["accuracy"].mask(misses),
    }
    tables = {
        outcome: runs.assign(value=values).pivot(index="seed", columns="variant", values="value")
        for outcome, values in outcomes.items()
    }
    rows = []
    for name, contrast in effects.create_contrasts().items():
        if contrast.keys() <= set(runs["variant"]):
            row = {"effect": name}
            for outcome, table in tables.items():
                row |= zip(
                    [outcome, f"{outcome}_low", f"{outcome}_high"],
                    effects.estimate(contrast, table),
                    strict=True,
                )
            rows.append(row)
    return pd.DataFrame(rows)


def place_published(runs):
    """Return a table of one row a published figure: how many runs of its variant are below it."""
    rows = []
    for source, variant, figure in PUBLISHED:
        variant_runs = runs[runs["variant"] == variant]
        if len(variant_runs):
            best = get_accuracy_after_epoch(variant_runs).max(axis=1)
            rows.append(
                {
                    "source": source,
                    "figure": figure,
                    "variant": variant,
                    "n": len(variant_runs),
                    # Accuracies are multiples of 0.01 %, and floats.
                    "below": (100 * variant_runs["accuracy"] < figure - 0.001).sum(),
                    "above": (100 * variant_runs["accuracy"] > figure + 0.001).sum(),
                    "best_epoch_above": (100 * best > figure + 0.001).sum(),
                }
            )
    return pd.DataFrame(rows)
