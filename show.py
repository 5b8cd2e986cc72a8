"""Show what a trained network does: its mistakes, what it confuses, what its neurons look for.

    python show.py [MODEL]            a network that a training script has saved
    python show.py --log FILE         the learning curve of a training

open a window, or write a PNG to `--out`. Without MODEL it is the network that comes along and that
`recognize.py` uses. In Python, `show.show(net)` draws any network.
"""

import io
import sys

import numpy as np
import torch
from torch import nn

import common
from common import RefusedError
from handwriting import DIGITS
from training import command_line, files, saved

SIZE = (10, 11)  # inches of a picture; legible at the width of a page
WINDOW_DPI = 70  # so that a window of that size fits a laptop's screen
COLUMNS = 10  # of the pictures that are made of small ones
MAX_MISTAKES = 50  # a good network makes about 200
NUM_DIGITS = 10
CAPTION_HEIGHT = 9  # in pixels of the images, which have 28


def show(net, *, softmax=False, normalize=False, data_root=common.DEFAULT_ROOT, out=None):
    """Draw what a network makes of the test images; print each digit's precision and recall.

    `net` takes rows or images to ten outputs; for `softmax` and `normalize` see
    `training.saved.TrainedNetwork`, which `net` may be, too. The picture goes to `out`, a PNG, or a
    window; in a notebook, below the cell.
    """
    check_out(out)
    if not isinstance(net, saved.TrainedNetwork):
        net = saved.TrainedNetwork(net, softmax=softmax, normalize=normalize)
    test_set = common.get_dataset(data_root, train=False)
    labels, predictions, values = predict(net, test_set)
    print_precision_and_recall(count_confusions(labels, predictions))
    show_figure(
        lambda figure: draw(figure, net.net, test_set.data, labels, predictions, values), out
    )


def predict(network, dataset):
    """Return the labels of a data set, the network's predictions, and their outputs: all [N].

    `network` is a `training.saved.TrainedNetwork`.
    """
    labels = dataset.targets
    if len(labels) and labels.max() >= NUM_DIGITS:
        raise RefusedError(f"there is a label {labels.max()}, but networks here have ten outputs")
    values, predictions = predict_outputs(network, dataset).max(dim=1)
    return labels, predictions, values


def predict_outputs(network, dataset):
    """Return a `training.saved.TrainedNetwork`'s outputs [N, 10] for all images of a data set."""
    batches = dataset.data.unsqueeze(1).split(1000)
    return torch.cat([network(batch / 255) for batch in batches])


def draw(figure, net, images, labels, predictions, values):
    """Draw on a figure what a network makes of images [N, 28, 28]; see `predict`."""
    axes = figure.subplot_mosaic(
        [["mistakes", "mistakes"], ["confusion", "first layer"]], height_ratios=[6, 5]
    )
    draw_mistakes(axes["mistakes"], images, labels, predictions, values)
    draw_confusion(axes["confusion"], count_confusions(labels, predictions))
    draw_first_layer(axes["first layer"], net)


def draw_mistakes(axes, images, labels, predictions, values):
    """Draw images [N, 28, 28] that are taken for another digit, the surest mistakes first.

    Labels and predictions are digits, values the outputs for the predicted ones, all [N].
    """
    mistakes = (predictions != labels).nonzero().flatten()
    shown = mistakes[values[mistakes].argsort(descending=True)][:MAX_MISTAKES]
    axes.set_axis_off()
    axes.set_title(
        f"{len(mistakes)} of {len(labels)} images are mistaken; the {len(shown)} surest:\n"
        "digit > prediction, and its output"
    )
    if len(shown) == 0:
        return
    axes.imshow(tile(np.pad(images[shown], ((0, 0), (0, CAPTION_HEIGHT), (0, 0)))), cmap="gray")
    for position, index in enumerate(shown):
        row, column = divmod(position, COLUMNS)
        axes.text(
            column * 30 + 15,
            (row + 1) * (30 + CAPTION_HEIGHT) - 2,
            f"{labels[index]} > {predictions[index]}  {values[index]:.2f}",
            color="white",
            fontsize=8,
            ha="center",
            va="bottom",
        )


def count_confusions(labels, predictions):
    """Count the images of each digit [row] by prediction [column]: int64 [10, 10]."""
    pairs = labels * NUM_DIGITS + predictions
    return torch.bincount(pairs, minlength=NUM_DIGITS**2).view(NUM_DIGITS, NUM_DIGITS)


def print_precision_and_recall(counts):
    """Print for each digit how many of its predictions are right, and of its images recognised."""
    print("digit  precision  recall")
    for digit in range(NUM_DIGITS):
        right = counts[digit, digit].item()
        precision = right / max(1, counts[:, digit].sum().item())
        recall = right / max(1, counts[digit].sum().item())
        print(f"{digit:5}  {precision:9.4f}  {recall:6.4f}")


def draw_confusion(axes, counts):
    """Draw how many images of each digit get each prediction, the right ones in grey."""
    mistakes = (counts - counts.diag().diag()).numpy()
    image = axes.imshow(mistakes, cmap="Blues")
    for digit in range(NUM_DIGITS):
        for prediction in range(NUM_DIGITS):
            is_dark = image.norm(mistakes[digit, prediction]) > 0.6
            colour = "gray" if digit == prediction else "white" if is_dark else "black"
            count = int(counts[digit, prediction])
            axes.text(prediction, digit, count, color=colour, ha="center", va="center")
    axes.set_xticks(range(NUM_DIGITS))
    axes.set_yticks(range(NUM_DIGITS))
    axes.set_xlabel("prediction")
    axes.set_ylabel("digit")
    axes.set_title("Number of test images, by digit and prediction")


def draw_first_layer(axes, network):
    """Draw the weights of each neuron, or filter, of the first layer as an image."""
    axes.set_axis_off()
    first_layer = saved.find_first_layer(network)
    if first_layer is None:
        axes.set_title("No Linear or Conv2d layer sees the pixels")
        return
    is_dense = isinstance(first_layer, nn.Linear)
    weights = first_layer.weight.detach().float().cpu()
    weights = weights.reshape(-1, *((28, 28) if is_dense else first_layer.kernel_size)).numpy()
    large = np.quantile(np.abs(weights), 0.999)  # the very largest would leave the rest pale
    image = axes.imshow(tile(weights), cmap="RdBu_r", vmin=-large, vmax=large)
    name = "hidden neurons" if is_dense else "filters of the first convolution"
    axes.set_title(f"What each of the {len(weights)} {name} looks for")
    axes.figure.colorbar(image, ax=axes, label="weight of a pixel", extend="both", shrink=0.8)


def draw_learning_curve(figure, rows):
    """Draw loss and test accuracy over the epochs, from the rows of `saved.read_log`."""
    if not rows:
        raise RefusedError("the log has no lines yet")
    from matplotlib.ticker import MaxNLocator

    losses, accuracies = figure.subplots(1, 2)
    num_steps = max(step for _, step in rows)  # of an epoch
    for axes, name, label in (
        (losses, "loss", "loss of a batch"),
        (accuracies, "test_accuracy", "test images recognised"),
    ):
        points = [
            (epoch - 1 + step / num_steps, row[name])
            for (epoch, step), row in rows.items()
            if row[name] is not None
        ]
        axes.plot(*zip(*points, strict=True) if points else ([], []), marker=".", lw=0.8)
        axes.set_xlabel("epoch")
        axes.set_xlim(left=0, right=1.02 * max(rows)[0])
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    if all(row["loss"] > 0 for row in rows.values()):
        losses.set_yscale("log")


def tile(images):
    """Lay images [N, height, width] out in rows, a pixel's margin around each: one image."""
    images = np.pad(images, ((0, -len(images) % COLUMNS), (1, 1), (1, 1)))
    _, height, width = images.shape
    rows = images.reshape(-1, COLUMNS, height, width).swapaxes(1, 2)
    return rows.reshape(-1, COLUMNS * width)


def show_figure(draw_on, out, size=SIZE):
    """Have `draw_on(figure)` draw a figure; show it, or write it to the PNG `out`."""
    if out is not None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=size, dpi=100, layout="constrained")
        draw_on(figure)
        stream = io.BytesIO()
        figure.savefig(stream, format="png")
        files.write(out, stream.getbuffer())
        return
    from matplotlib import pyplot

    draw_on(pyplot.figure(figsize=size, dpi=WINDOW_DPI, layout="constrained"))
    pyplot.show()


def check_out(out, inputs=()):
    """Raise RefusedError unless a picture can be written to `out`, or shown if that is None.

    To a PNG only, and none of the inputs, lest a slip of the hand replace a model or a photograph.
    """
    if out is None:
        from handwriting import window

        if not window.has_windows() and "ipykernel" not in sys.modules:  # below whose cell it is
            raise RefusedError(
                "there is no display to open a window on; --out FILE writes a PNG, and in a "
                "notebook's cell, show.show(network) draws below it"
            )
        return
    if not str(out).lower().endswith(".png"):
        raise RefusedError(f"--out writes a PNG; {out} doesn't end in .png")
    if files.resolve(out) in map(files.resolve, inputs):
        raise RefusedError(f"--out would replace {out}, which is to be read")


def add_network_flag(parser):
    """Add `--net`, for a program that reads saved networks."""
    text = "the network, where its file doesn't say which it is"
    parser.add_argument("--net", choices=saved.NETWORKS, default="dense", help=text)


def create_parser():
    parser = command_line.OneLineParser(
        description="Draw what a saved network does with the test images: its mistakes, what it "
        "confuses, what its first layer looks for."
    )
    parser.add_argument(
        "model",
        metavar="MODEL",
        nargs="?",
        help="a file of --save-model; without it, the network that comes along",
    )
    parser.add_argument("--log", metavar="FILE", help="draw a training's learning curve: its --log")
    parser.add_argument("--out", metavar="FILE", help="write a PNG here; without it, open a window")
    add_network_flag(parser)
    command_line.add_flags(parser, data_root=common.DEFAULT_ROOT)
    return parser


def main():
    settings = create_parser().parse_args()
    if settings.model is not None and settings.log is not None:
        raise RefusedError("give either a saved network, MODEL, or the --log of a training")
    if settings.log is None:
        network = saved.load(settings.model or DIGITS, settings.net)
        show(network, data_root=settings.data_root, out=settings.out)
    else:
        check_out(settings.out)
        _, rows = saved.read_log(settings.log)
        show_figure(lambda figure: draw_learning_curve(figure, rows), settings.out, size=(10, 4))


if __name__ == "__main__":
    main()
