"""What many runs say together, in pictures."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from files import atomic
from study.effects import MIN_RUNS
from study.report import find_missed_digits, get_accuracy_after_epoch
from study.variants import PUBLISHED, VARIANTS

# By Okabe and Ito: the colour-blind can tell them apart.
BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#777777"
ACCURACY = "test images recognised (%)"
CLOSE_UP = (93.2, 98.4)  # per cent


def write(runs, effects, folder):
    """Write the pictures of `report`'s tables as PNGs."""
    save(draw_runs(runs), folder / "runs.png")
    save(draw_epochs(runs), folder / "epochs.png")
    save(draw_digits(runs), folder / "digits.png")
    if len(effects):
        save(draw_effects(effects), folder / "effects.png")
    else:  # an earlier report's would be of other runs
        (folder / "effects.png").unlink(missing_ok=True)


def save(figure, file):
    """Write a figure as a PNG, atomically. Raises OSError."""
    atomic.write(file, figure.savefig)


def get_colour(variant):
    """Return the colour of a variant: that of its initialisation."""
    return ORANGE if VARIANTS[variant].book_init else BLUE


def draw_runs(runs):
    """Draw each run's accuracy as a point, a row for each variant, beside the published figures."""
    by_variant = runs.groupby("variant", sort=False)
    names = list(by_variant.groups)
    figure = create_figure(height=1.5 + 0.5 * len(names))
    panels = figure.subplots(1, 2, sharey=True)
    for axes in panels:
        for row, (variant, variant_runs) in enumerate(by_variant):
            accuracies = 100 * variant_runs["accuracy"]
            offsets = np.linspace(-0.25, 0.25, len(accuracies) + 2)[1:-1]
            colour = get_colour(variant)
            axes.scatter(accuracies, row + offsets, s=12, color=colour, alpha=0.8, lw=0, zorder=3)
        for _, of, published in PUBLISHED:
            if of in names:
                axes.scatter(published, names.index(of), s=800, marker="|", color="black", lw=1.5)
        axes.grid(axis="x", alpha=0.3)
        axes.set_xlabel(ACCURACY)
    panels[0].set_yticks(range(len(names)), [f"{name} ({len(r)})" for name, r in by_variant])
    panels[0].invert_yaxis()
    panels[0].set_title("Each point is a run")
    panels[1].set_title(f"The same, from {CLOSE_UP[0]} to {CLOSE_UP[1]} %")
    panels[1].set_xlim(*CLOSE_UP)
    for row, (_, variant_runs) in enumerate(by_variant):
        num_below = (100 * variant_runs["accuracy"] < CLOSE_UP[0]).sum()
        if num_below:
            note = f"\u25c4 {num_below} of {len(variant_runs)} lower"
            panels[1].text(CLOSE_UP[0] + 0.04, row, note, va="center", fontsize=9)
    labels = ["published, of one run"]
    labels += [f"run with the {whose}'s initialisation" for whose in ("article", "book")]
    handles = [
        panels[0].scatter([], [], s=size, marker=marker, color=colour)
        for size, marker, colour in ((200, "|", "black"), (20, "o", BLUE), (20, "o", ORANGE))
    ]
    figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False)
    return figure


def draw_epochs(runs):
    """Draw how each run's accuracy grows from epoch to epoch, a panel for each variant.

    The first row has the variants with the article's initialisation and shows 92 to 98.5 %, the
    second those with the book's, and shows all.
    """
    names = list(runs["variant"].unique())
    rows = [
        [name for name in names if VARIANTS[name].book_init == book_init]
        for book_init in (False, True)
    ]
    rows = [row for row in rows if row]
    figure = create_figure(height=0.6 + 2.6 * len(rows))
    panels = figure.subplots(len(rows), max(map(len, rows)), squeeze=False)
    for row, row_panels in zip(rows, panels, strict=True):
        for axes in row_panels[len(row) :]:
            axes.remove()
        for name, axes in zip(row, row_panels, strict=False):
            accuracies = 100 * get_accuracy_after_epoch(runs[runs["variant"] == name])
            num_epochs = accuracies.shape[1]
            axes.plot(
                range(1, num_epochs + 1),
                accuracies.T,
                color=get_colour(name),
                lw=0.7,
                alpha=0.6,
                marker="." if num_epochs == 1 else None,  # a line needs two
            )
            for _, of, published in PUBLISHED:
                if of == name:
                    axes.plot(num_epochs + 0.5, published, "k_", ms=9, mew=1.2, zorder=3)
            axes.set_ylim(*((30, 100) if VARIANTS[name].book_init else (92, 98.5)))
            axes.set_title(name)
            axes.set_xlabel("epoch")
            axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
            axes.grid(alpha=0.3)
        row_panels[0].set_ylabel(ACCURACY)
    figure.suptitle(
        "Each line is a run, blue with the article's initialisation, orange with the book's (mind "
        "the scales); black: published figures",
        fontsize=10,
    )
    return figure


def draw_digits(runs):
    """Draw how many runs of each variant miss each digit, a row for each variant."""
    counts = find_missed_digits(runs).groupby(runs["variant"], sort=False).sum()
    numbers = runs["variant"].value_counts(sort=False)[counts.index]
    figure = create_figure(height=1.2 + 0.3 * len(counts))
    axes = figure.subplots()
    image = axes.imshow(
        counts, aspect="auto", cmap="Blues", vmin=0, vmax=max(1, counts.max(axis=None))
    )
    for (row, digit), count in np.ndenumerate(counts.to_numpy()):
        colour = "white" if image.norm(count) > 0.5 else "black"
        axes.text(digit, row, count, ha="center", va="center", color=colour)
    axes.set_xticks(range(counts.shape[1]))
    axes.set_yticks(
        range(len(counts)), [f"{variant} ({numbers[variant]})" for variant in counts.index]
    )
    axes.set_xlabel("digit")
    axes.set_title("How many runs miss each digit (a run can miss several)")
    return figure


def draw_effects(effects):
    """Draw the table of effects: each estimate with its interval, a panel for each outcome."""
    figure = create_figure(height=1.4 + 0.3 * len(effects))
    panels = figure.subplots(1, 3, sharey=True)
    outcomes = {
        "mean": "mean accuracy",
        "share": "share of runs that\nmiss a digit",
        "mean_of_others": "mean accuracy\nof the others",
    }
    rows = np.arange(len(effects))
    for axes, (outcome, title) in zip(panels, outcomes.items(), strict=True):
        low, high = effects[f"{outcome}_low"], effects[f"{outcome}_high"]
        axes.axvline(0, color="black", lw=0.8)
        axes.hlines(rows, low, high, color=BLUE, lw=2.5)
        fill = np.where(low.isna(), "white", BLUE)
        axes.scatter(effects[outcome], rows, s=22, c=fill, edgecolors=BLUE, zorder=3)
        axes.set_title(title)
        axes.set_xlabel("points, with 95 % CI")
        axes.grid(alpha=0.3)
    panels[0].set_yticks(rows, effects["effect"])
    panels[0].invert_yaxis()
    figure.suptitle(
        "No line: the interval is shorter than the dot\n"
        f"Empty dot: no interval, as under {MIN_RUNS} runs of a variant are left, or all agree",
        fontsize=10,
    )
    return figure


def draw_trace(tables):
    """Draw the tables of `study.trace`: a column for each run, a row for each quantity.

    The digit that the run recognises least is in colour, the other nine in grey.
    """
    quantities = {
        "recognised": "images of the digit\nrecognised",
        "output": "median output\non them (target: 1)",
        "derivative": "median derivative\nof the sigmoid there",
        "gradient": "norm of the gradient\nfor its weights",
    }
    figure = create_figure(height=8)
    panels = figure.subplots(len(quantities), len(tables), sharex=True, sharey="row", squeeze=False)
    for column, table in zip(panels.T, tables, strict=True):
        worst = find_least_recognised(table)
        variant, seed = table["variant"].iloc[0], table["seed"].iloc[0]
        for axes, quantity in zip(column, quantities, strict=True):
            for digit, digit_rows in table.groupby("digit"):
                if digit == worst:
                    style = {"color": get_colour(variant), "lw": 2, "zorder": 3}
                else:
                    style = {"color": GREY, "lw": 0.7, "alpha": 0.6}
                axes.plot(digit_rows["epoch"], digit_rows[quantity], **style)
            axes.set_yscale("linear" if quantity == "recognised" else "log")
            axes.grid(alpha=0.3)
        column[0].set_title(f"{variant}, seed {seed}: digit {worst}")
        column[-1].set_xlabel("epoch (0: untrained)")
    for axes, label in zip(panels[:, 0], quantities.values(), strict=True):
        axes.set_ylabel(label)
    figure.suptitle(
        "Each line is an output neuron; in colour that of the digit which is recognised least, "
        "averaged over the epochs",
        fontsize=10,
    )
    return figure


def find_least_recognised(table):
    """Return the digit that is recognised least in a run's table, averaged over its epochs."""
    return table.groupby("digit")["recognised"].mean().idxmin()


def create_figure(height):
    """Return a figure of the width that all have, so many inches high."""
    return Figure(figsize=(9, height), dpi=120, layout="constrained")
