"""What the convolutional networks reach: the logs of their trainings as data, table and picture.

    python pytorch_mnist_convnet.py --net relu --seed 1 --test-each-epoch --log relu-1.csv
    python -m study.convnets relu-1.csv

gathers any number of logs in `convnets.csv`, a row for each epoch, beside the trainings that are
there already, and draws them all: `convnets.png`.
The table, `convnets.md`, has the trainings that went on to their last epoch.
"""

import training  # noqa: F401 # isort: skip (not part of the lesson: it makes Ctrl-C one line)

from typing import NamedTuple

import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

import common
from common import RefusedError
from files import atomic
from pytorch_mnist_convnet import DESIGNS, Design
from study import plots, tables
from study.results import add_results_flag, create_folder
from training import command_line, progress

INPUTS = ("0 to 1", "normalised")


class Experiment(NamedTuple):
    """A design, and what others' networks of it recognise: per cent, each of one run."""

    design: Design
    repository: tuple[float, float]  # the companion repository's, with either INPUTS
    book: float  # from its chapter 6, with inputs from 0 to 1


EXPERIMENTS = {
    "simple": Experiment(DESIGNS["simple"], (98.94, 98.91), 98.78),
    "2conv": Experiment(DESIGNS["2conv"], (99.15, 99.13), 99.06),
    "relu": Experiment(DESIGNS["relu"], (99.26, 99.30), 99.23),
    "relu --extend-data": Experiment(
        DESIGNS["relu"]._replace(extend_data=True), (99.42, 99.43), 99.37
    ),
    "final": Experiment(DESIGNS["final"], (99.59, 99.64), 99.60),
}
KIND = ["experiment", "inputs", "epochs"]  # what trainings of a row have in common
COLOURS = dict(zip(INPUTS, (plots.BLUE, plots.ORANGE), strict=True))
CLOSE_UP = (98, 99.8)  # per cent
TRAINING_SIZE = 60_000
NUM_SHIFTED = 5  # an image and its shifts


def read_curve(log):
    """Return the learning curve of a convolutional network's training, read from its log.

    It is a table of one row a tested epoch, with the accuracy in per cent and the seconds of
    training up to then. Raises RefusedError if the file is no log, of none of the
    EXPERIMENTS, or without tests or seed.
    """
    logged, rows = progress.read_log(log)
    names = [name for name, of in EXPERIMENTS.items() if is_of(of.design, logged)]
    if not names:
        raise RefusedError(
            f"{log} is the log of none of the experiments {', '.join(EXPERIMENTS)}, as the script "
            "trains them by default"
        )
    if logged.get("seed") is None:
        raise RefusedError(f"{log} names no seed, by which its training is told from others")
    curve = pd.DataFrame(
        {
            "experiment": names[0],
            "inputs": INPUTS["Normalize" in logged["transform"]],
            "seed": logged["seed"],
            "epoch": epoch,
            "epochs": logged["epochs"],
            "accuracy": round(100 * row["test_accuracy"], 2),
            "seconds": row["seconds"],
            "device": logged["device"],
            "threads": logged["threads"],
            "torch": logged["torch"],
            "python": logged["python"],
        }
        for (epoch, _), row in rows.items()
        if row["test_accuracy"] is not None
    )
    if curve.empty:
        raise RefusedError(f"{log} has no tests yet")
    return curve


def is_of(design, logged):
    """Return whether a log's training is of this design, with its settings."""
    settings = {
        "network": f"{design.network.__module__}.{design.network.__name__}",
        "lr": design.lr,
        "weight_decay": design.weight_decay,
        "momentum": 0,
        "batch_size": common.BATCH_SIZE,
        "num_images": TRAINING_SIZE * (NUM_SHIFTED if design.extend_data else 1),
    }
    if settings.items() <= logged.items():
        train_data, test_data = logged["data"]
        return test_data == "MNIST" and (train_data == "MNIST" or design.extend_data)
    return False


def format_table(curves):
    """Return a Markdown table of what trainings reach beside the published figures.

    Those of the same network, inputs and number of epochs make a row; those that did not go on to
    their end are left out.
    """
    rows = []
    results = curves[curves["epoch"] == curves["epochs"]]
    for (name, inputs, epochs), trainings in results.groupby(KIND, sort=False):
        experiment = EXPERIMENTS[name]
        accuracy = trainings["accuracy"]
        spread = tables.format_range(accuracy.min(), accuracy.max())
        rows.append(
            {
                "network": name,
                "inputs": inputs,
                "epochs": epochs,
                "n": len(trainings),
                "mean %": tables.format_number(accuracy.mean()),
                "min to max %": spread if len(trainings) > 1 else "-",
                "repository %": tables.format_number(experiment.repository[INPUTS.index(inputs)]),
                "book %": tables.format_number(experiment.book) if inputs == INPUTS[0] else "-",
            }
        )
    return tables.format_markdown(rows)


def draw(curves):
    """Draw each training's accuracy over the epochs, a panel for each experiment."""
    names = curves["experiment"].unique()
    figure = plots.create_figure(height=3.6)
    panels = figure.subplots(1, len(names), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, names, strict=True):
        panel_curves = curves[curves["experiment"] == name]
        for (_, inputs, *_), curve in panel_curves.groupby([*KIND, "seed"]):
            colour = COLOURS[inputs]
            axes.plot(curve["epoch"], curve["accuracy"], ".-", color=colour, lw=0.8, ms=2)
        end = 1.04 * panel_curves["epochs"].max()
        for inputs, published in zip(INPUTS, EXPERIMENTS[name].repository, strict=True):
            if inputs in set(panel_curves["inputs"]):
                axes.plot(end, published, "_", color=COLOURS[inputs], ms=9, mew=1.5)
        axes.plot(1.09 * end, EXPERIMENTS[name].book, "_", color="black", ms=9, mew=1.5)
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
        axes.set_ylim(*CLOSE_UP)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(plots.ACCURACY)
    figure.suptitle(
        f"Each line is a run, from {CLOSE_UP[0]} % on; marks at the end: the repository's figures, "
        "and the book's (black)",
        fontsize=10,
    )
    handles = [Line2D([], [], color=COLOURS[inputs]) for inputs in INPUTS]
    labels = [f"inputs {inputs}" for inputs in INPUTS]
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def add_earlier(curves, file):
    """Return the table with the trainings of an earlier table, a CSV file, that it lacks.

    It is sorted, by EXPERIMENTS first. Raises RefusedError if the earlier one has more of a
    training.
    """
    keys = [*KIND, "seed"]
    if file.exists():
        earlier = pd.read_csv(file)
        ends, earlier_ends = (table.groupby(keys)["epoch"].max() for table in (curves, earlier))
        for kind, end in ends.items():
            if end < earlier_ends.get(kind, 0):
                raise RefusedError(
                    f"{file} has the training {kind} up to epoch {earlier_ends[kind]}, the log "
                    f"only up to {end}; give the log of all of it"
                )
        is_replaced = earlier.set_index(keys).index.isin(curves.set_index(keys).index)
        curves = pd.concat([earlier[~is_replaced], curves])
    order = {name: place for place, name in enumerate(EXPERIMENTS)}
    return curves.sort_values(
        [*keys, "epoch"], key=lambda column: column.map(lambda value: order.get(value, value))
    )


def main():
    parser = command_line.OneLineParser(description="Gather the logs of convolutional networks.")
    parser.add_argument("logs", nargs="+", metavar="LOG", help="a file of --log")
    add_results_flag(parser, "where data, table and picture go")
    settings = parser.parse_args()
    curves = pd.concat(map(read_curve, atomic.expand(settings.logs)))
    if curves.duplicated([*KIND, "seed", "epoch"]).any():
        raise RefusedError("two logs are of the same network, inputs, epochs and seed; give one")
    folder = create_folder(settings.results)
    curves = add_earlier(curves, folder / "convnets.csv")
    table = format_table(curves)
    atomic.write_text(folder / "convnets.csv", curves.to_csv(index=False, lineterminator="\n"))
    atomic.write_text(folder / "convnets.md", table)
    plots.save(draw(curves), folder / "convnets.png")
    print(table, end="")


if __name__ == "__main__":
    main()
