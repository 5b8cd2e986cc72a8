"""What many runs say together, in pictures, in colours that the colour-blind can tell apart."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from files import atomic
from study.report import find_never_learnt
from study.variants import PUBLISHED_ACCURACIES, VARIANTS

# By Okabe and Ito
COLOURS = dict(
    zip(
        VARIANTS,
        ["#0072B2", "#E69F00", "#009E73", "#CC79A7", "#8B4513", "#56B4E9", "#B8A000", "#D55E00"]
        + ["#777777"],
        strict=True,
    )
)
LINE_STYLES = {"article": "dashed", "book": "dotted"}  # of the published figures
CLOSE_UP = (96, 98.5)  # per cent
ACCURACY = "test images recognised (%)"


def write(results, runs, folder):
    """Write the pictures of `results`, and of the table of `runs` made from them, as PNGs."""
    for name, figure in {
        "runs.png": draw_runs(runs),
        "epochs.png": draw_epochs(results),
        "digits.png": draw_digits(runs),
    }.items():
        atomic.write(folder / name, lambda stream, figure=figure: figure.savefig(stream))


def draw_runs(runs):
    """Draw each run's accuracy as a point, by variant, with the published figures as lines."""
    figure = _create_figure(height=4.5)
    panels = figure.subplots(1, 2)
    by_variant = runs.groupby("variant", sort=False)["accuracy"]
    for axes in panels:
        for position, (variant, accuracies) in enumerate(by_variant):
            beside = np.linspace(-0.3, 0.3, len(accuracies) + 2)[1:-1]
            axes.scatter(position + beside, 100 * accuracies, s=14, color=COLOURS[variant])
        for source, figures in PUBLISHED_ACCURACIES.items():
            label = f"the {source}'s " + " and ".join(f"{100 * f:.2f} %" for f in figures)
            for line_label, published in zip([label, None], figures, strict=False):
                axes.axhline(
                    100 * published, color="black", lw=1, ls=LINE_STYLES[source], label=line_label
                )
        axes.set_xticks(range(len(by_variant)), by_variant.groups)
        axes.set_ylabel(ACCURACY)
        axes.grid(axis="y", alpha=0.3)
    panels[0].set_title("Each point is a run")
    panels[1].set_title("The same, near the published figures")
    panels[1].set_ylim(*CLOSE_UP)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def draw_epochs(results):
    """Draw how each run's accuracy grows from epoch to epoch, a panel for each variant."""
    names = list(dict.fromkeys(result["variant"] for result in results))
    figure = _create_figure(height=3)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for result in results:
        accuracies = 100 * np.array(result["accuracy_after_epoch"])
        panels[names.index(result["variant"])].plot(
            range(1, len(accuracies) + 1),
            accuracies,
            color=COLOURS[result["variant"]],
            lw=0.8,
            marker="." if len(accuracies) == 1 else None,  # a line needs two
        )
    for name, axes in zip(names, panels, strict=True):
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(ACCURACY)
    return figure


def draw_digits(runs):
    """Draw how many runs of each variant never learn each digit, a row for each variant."""
    counts = find_never_learnt(runs).groupby(runs["variant"], sort=False).sum()
    numbers = runs["variant"].value_counts(sort=False)[counts.index]
    figure = _create_figure(height=3)
    axes = figure.subplots()
    image = axes.imshow(
        counts, aspect="auto", cmap="Blues", vmin=0, vmax=max(1, counts.max(axis=None))
    )
    for (row, digit), count in np.ndenumerate(counts.to_numpy()):
        colour = "white" if image.norm(count) > 0.5 else "black"
        axes.text(digit, row, count, ha="center", va="center", color=colour)
    axes.set_xticks(range(counts.shape[1]))
    axes.set_yticks(
        range(len(counts)), [f"{variant} ({numbers[variant]} runs)" for variant in counts.index]
    )
    axes.set_xlabel("digit")
    axes.set_title("Number of runs that never learn a digit")
    return figure


def _create_figure(height):
    return Figure(figsize=(9, height), dpi=120, layout="constrained")
