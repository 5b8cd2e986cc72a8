"""Show what a trained network does: its mistakes, what it confuses, what its neurons look for.

    python show.py [MODEL]            a network that a training script has saved
    python show.py --log FILE         the learning curve of a training

open a window, or write a PNG to `--out`. Without MODEL it is the network that comes along and that
`recognize.py` uses. In Python and in notebooks, `show.show(net)` draws any network, and
`show.show_log(file)` a log.
"""

import argparse
import io
import math
import sys

import numpy as np
import torch
from torch import nn

import common
from common import RefusedError
from handwriting import DIGITS, drawing
from training import command_line, files, saved

SIZE = (10, 11)  # inches of a picture; legible at the width of a page
WINDOW_DPI = 70  # so that a window of that size fits a laptop's screen
COLUMNS = 10  # of mistakes
MAX_MISTAKES = 50  # a good network makes about 200
NUM_DIGITS = 10
CAPTION_HEIGHT = 9  # in pixels of the images, which have 28


def show(
    net, *, softmax=False, normalize=False, data_root=common.DEFAULT_ROOT, source="", out=None
):
    """Draw what a network makes of the test images; print each digit's precision and recall.

    `net` takes rows or images to ten outputs; for `softmax` and `normalize` see
    `training.saved.TrainedNetwork`, which `net` may be, too. `source` is named in the title. The
    picture goes to `out`, a PNG, or a window; in a notebook, below the cell.
    """
    check_out(out)
    if not isinstance(net, saved.TrainedNetwork):
        net = saved.TrainedNetwork(net, softmax=softmax, normalize=normalize)
    test_set = common.get_dataset(data_root, train=False)
    labels = test_set.targets
    values, predictions = predict_outputs(net, test_set).max(dim=1)
    counts = count_confusions(labels, predictions)
    name = name_network(net.net)
    title = f"{drawing.as_title(source)}: {name}" if source else name
    title += f"\n{counts.trace()} of {len(labels)} test images are recognised"
    print(title)
    print_precision_and_recall(counts)

    def draw(figure):
        figure.suptitle(title, parse_math=False)
        layout = [["mistakes", "mistakes"], ["confusion", "first layer"]]
        axes = figure.subplot_mosaic(layout, height_ratios=[6, 5])
        draw_mistakes(axes["mistakes"], test_set.data, labels, predictions, values)
        draw_confusion(axes["confusion"], counts)
        draw_first_layer(axes["first layer"], net.net)

    show_figure(draw, out)


def show_log(file, *, out=None):
    """Draw the learning curve in a file of `--log`; see `show` for `out`."""
    check_out(out)
    _, rows = saved.read_log(file)
    if not rows:
        raise RefusedError(f"{file} has no lines yet")
    show_figure(lambda figure: draw_learning_curve(figure, rows), out, size=(10, 4))


def name_network(net):
    """Return a network's class and the numbers that it was created with."""
    values = saved.get_arguments(net).items()
    numbers = [f"{name}={value}" for name, value in values if isinstance(value, int | float)]
    return f"{type(net).__name__}({', '.join(numbers)})"


def predict_outputs(network, dataset):
    """Return a `training.saved.TrainedNetwork`'s outputs [N, 10] for all images of a data set."""
    batches = dataset.data.unsqueeze(1).split(1000)
    return torch.cat([network(batch / 255) for batch in batches])


def draw_mistakes(axes, images, labels, predictions, values):
    """Draw images [N, 28, 28] that are taken for another digit, the surest mistakes first.

    Labels and predictions are digits, values the outputs for the predicted ones, all [N].
    """
    mistakes = (predictions != labels).nonzero().flatten()
    shown = mistakes[values[mistakes].argsort(descending=True)][:MAX_MISTAKES]
    axes.set_axis_off()
    numbers = f"{len(shown)} surest of {len(mistakes)}"
    axes.set_title(f"The {numbers} mistakes: digit → prediction, and its output")
    if len(shown) == 0:
        return
    captioned = np.pad(images[shown], ((0, 0), (0, CAPTION_HEIGHT), (0, 0)))
    axes.imshow(tile(captioned, COLUMNS), cmap="gray")
    for position, index in enumerate(shown):
        row, column = divmod(position, COLUMNS)
        x, y = column * 30 + 15, (row + 1) * (30 + CAPTION_HEIGHT) - 2
        caption = f"{labels[index]} → {predictions[index]}  {values[index]:.2f}"
        axes.text(x, y, caption, color="white", fontsize=8, ha="center", va="bottom")


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
    for digit, prediction in counts.nonzero().tolist():
        is_dark = image.norm(mistakes[digit, prediction]) > 0.6
        colour = "gray" if digit == prediction else "white" if is_dark else "black"
        count = int(counts[digit, prediction])
        axes.text(prediction, digit, count, color=colour, ha="center", va="center")
    axes.set(xticks=range(NUM_DIGITS), yticks=range(NUM_DIGITS))
    axes.set(xlabel="prediction", ylabel="digit", title="Number of test images")


def draw_first_layer(axes, network):
    """Draw the weights of each neuron, or filter, of the first layer as an image."""
    import matplotlib

    axes.set_axis_off()
    first_layer = saved.find_first_layer(network)
    if first_layer is None:
        axes.set_title("No Linear or Conv2d layer sees the pixels")
        return
    is_dense = isinstance(first_layer, nn.Linear)
    weights = first_layer.weight.detach().float().cpu()
    weights = weights.reshape(-1, *((28, 28) if is_dense else first_layer.kernel_size)).numpy()
    large = np.quantile(np.abs(weights), 0.995)  # the very largest would leave the rest pale
    colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="dimgray")  # between the images
    enlarged = np.kron(weights, np.ones((1, 28 // weights.shape[1], 28 // weights.shape[2])))
    tiled = tile(enlarged, math.ceil(len(weights) ** 0.5), margin=np.nan)
    image = axes.imshow(tiled, cmap=colours, vmin=-large, vmax=large, interpolation="nearest")
    kind = "hidden neurons" if is_dense else "filters"
    axes.set_title(f"What the {len(weights)} {kind} look for")
    axes.figure.colorbar(image, ax=axes, label="weight of a pixel", extend="both", shrink=0.8)


def draw_learning_curve(figure, rows):
    """Draw losses and test accuracies over the epochs, from the rows of `saved.read_log`."""
    from matplotlib.ticker import MaxNLocator

    num_steps = max(step for _, step in rows)  # of an epoch
    epochs = np.array([epoch - 1 + step / num_steps for epoch, step in rows])
    losses, tests = (
        np.array([row[name] for row in rows.values()], float) for name in ("loss", "test_accuracy")
    )
    width = math.ceil(len(losses) / 20)
    means = np.convolve(losses, np.full(width, 1 / width), "valid")
    middle = epochs[(width - 1) // 2 :][: len(means)]
    loss_axes, test_axes = figure.subplots(1, 2)
    loss_axes.plot(epochs, losses, lw=0.4, alpha=0.6, label="loss of a batch")
    loss_axes.plot(middle, means, label=f"mean of {width}")
    loss_axes.set_yscale("log" if min(losses) > 0 else "linear")
    loss_axes.legend()
    test_axes.plot(epochs, tests, "o")
    test_axes.set(ylabel="test images recognised", ylim=(None, 1))
    for axes in (loss_axes, test_axes):
        axes.set(xlabel="epoch", xlim=(0, 1.02 * max(rows)[0]))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(alpha=0.3)


def tile(images, columns, margin=0):
    """Lay images [N, height, width] out in rows, a pixel's margin around each: one image."""
    images = np.pad(images, ((0, -len(images) % columns), (1, 1), (1, 1)), constant_values=margin)
    _, height, width = images.shape
    rows = images.reshape(-1, columns, height, width).swapaxes(1, 2)
    return rows.reshape(-1, columns * width)


def show_figure(draw_on, out, size=SIZE):
    """Have `draw_on(figure)` draw a figure; show it, or write it to the PNG `out`."""
    if out is None:
        from matplotlib import pyplot

        draw_on(pyplot.figure(figsize=size, dpi=WINDOW_DPI, layout="constrained"))
        pyplot.show()
    else:
        files.write(out, to_png(draw_on, size))


def to_png(draw_on, size, dpi=100):
    """Have `draw_on(figure)` draw a figure, so many inches wide and high: a PNG's bytes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    draw_on(figure)
    stream = io.BytesIO()
    figure.savefig(stream, format="png")
    return stream.getvalue()


def check_out(out, inputs=()):
    """Raise RefusedError unless a picture can be written to `out`, or shown if that is None.

    To a PNG only, and none of the inputs, lest a slip of the hand replace a model or a photograph.
    """
    if out is None:
        from handwriting import window

        if not window.has_windows() and "ipykernel" not in sys.modules:  # below whose cell it is
            text = "there is no display to open a window on; --out FILE writes a PNG (in Python: "
            raise RefusedError(f"{text}out='x.png'), and a notebook draws below its cell")
        return
    if not str(out).lower().endswith(".png"):
        raise RefusedError(f"--out writes a PNG; {out} doesn't end in .png")
    if files.resolve(out) in map(files.resolve, inputs):
        raise RefusedError(f"--out would replace {out}, which is to be read")


def add_network_flag(parser):
    """Add `--net`, for a program that reads saved networks."""
    text = "the network, where its file doesn't say which it is"
    parser.add_argument("--net", choices=saved.NETWORKS, default="dense", help=text)


def main():
    parser = command_line.OneLineParser(
        description="Draw what a saved network does with the test images: its mistakes, what it "
        "confuses, what its first layer looks for."
    )
    shown = parser.add_mutually_exclusive_group()
    text = "a file of --save-model; without it, the network that comes along"
    shown.add_argument("model", metavar="MODEL", nargs="?", default=argparse.SUPPRESS, help=text)
    shown.add_argument("--model", metavar="FILE", help="the same as MODEL")
    shown.add_argument("--log", metavar="FILE", help="draw a training's learning curve: its --log")
    parser.add_argument("--out", metavar="FILE", help="write a PNG here; without it, open a window")
    add_network_flag(parser)
    command_line.add_flags(parser, data_root=common.DEFAULT_ROOT)
    settings = parser.parse_args()
    if settings.log is not None:
        show_log(settings.log, out=settings.out)
        return
    network = saved.load(settings.model or DIGITS, settings.net)
    source = settings.model or "the network that comes along, handwriting/digits.pt"
    show(network, data_root=settings.data_root, source=source, out=settings.out)


if __name__ == "__main__":
    main()
