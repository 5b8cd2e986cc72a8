"""What many runs say together: how each variant's accuracies are distributed, in tables."""

import numpy as np
import pandas as pd

from files import atomic
from pytorch_mnist import OUTPUT_SIZE
from study.variants import PUBLISHED_ACCURACIES

NEVER_LEARNT = 0.95  # a digit counts as never learnt if more of its test images are missed


def tabulate_runs(results):
    """Return a table of one row a run, in the order of `results`, dicts of `variants.train`."""
    return pd.DataFrame(
        {
            "variant": result["variant"],
            "seed": result["seed"],
            "epochs": len(result["accuracy_after_epoch"]),
            "accuracy": result["accuracy"],
            "best_accuracy": max(result["accuracy_after_epoch"]),
            **{f"error_{digit}": error for digit, error in enumerate(result["error_per_digit"])},
            "seconds": result["seconds"],
        }
        for result in results
    )


def summarise(runs):
    """Return a table of one row a variant; accuracies are percentages of the test images.

    The 95 % confidence interval of the mean is found by bootstrap: no distribution is assumed,
    and where some runs are stuck, it is far from a normal one.
    """
    return pd.DataFrame(
        [
            _summarise_variant(variant, its_runs)
            for variant, its_runs in runs.groupby("variant", sort=False)
        ]
    )


def _summarise_variant(variant, runs):
    accuracy = 100 * runs["accuracy"]
    low, high = bootstrap_mean(accuracy.to_numpy())
    never_learnt = find_never_learnt(runs)
    return {
        "variant": variant,
        "n": len(runs),
        "epochs": runs["epochs"].max(),
        "mean %": accuracy.mean(),
        "std": accuracy.std(),
        "min %": accuracy.min(),
        "max %": accuracy.max(),
        "95 % CI from": low,
        "to": high,
        "digits never learnt": never_learnt.to_numpy().sum(),
        "in runs": never_learnt.any(axis=1).sum(),
        "s per run": runs["seconds"].mean(),
        **{
            f"{source} {100 * figure:.2f} %": place(100 * figure, accuracy)
            for source, figures in PUBLISHED_ACCURACIES.items()
            for figure in figures
        },
    }


def find_never_learnt(runs):
    """Return a table of booleans: has the run [row] never learnt the digit [column]?

    A run that is stuck answers some digits by others, always: all but a few images are missed.
    """
    return runs[[f"error_{digit}" for digit in range(OUTPUT_SIZE)]] > NEVER_LEARNT


def place(figure, values):
    """Say whether a published figure lies in the range of the values seen."""
    if figure > values.max():
        return "above"
    return "below" if figure < values.min() else "in range"


def bootstrap_mean(values, resamples=10_000):
    """Return the 95 % confidence interval of the mean of values [n], by percentile bootstrap."""
    indices = np.random.default_rng(0).integers(len(values), size=(resamples, len(values)))
    return np.percentile(values[indices].mean(axis=1), [2.5, 97.5])


def write(runs, summary, folder):
    """Write the summary as Markdown and CSV, and the runs as CSV. Raises OSError."""
    for name, text in {
        "summary.md": summary.to_markdown(index=False, floatfmt=".2f") + "\n",
        "summary.csv": summary.to_csv(index=False, float_format="%.4f"),
        "runs.csv": runs.to_csv(index=False, float_format="%.4f"),
    }.items():
        atomic.write_text(folder / name, text)
