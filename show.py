"""Show what a trained network does: its mistakes, what it confuses, what its neurons look for.

The network is one that a training script has saved: `python show.py FILE` shows it in a window,
and prints each digit's precision and recall.
"""

import functools

import numpy as np
import torch
from torch import nn

import common
from files import atomic, models
from mnist.loader import find_stored_images
from pytorch_mnist import OUTPUT_SIZE, Net
from pytorch_mnist_convnet import DESIGNS
from training import command_line, progress

SIZE = (24, 10)  # inches of a picture
WINDOW_DPI = 58  # so that a window of that size fits a laptop's screen
COLUMNS = 10  # of the pictures that are made of small ones
MAX_MISTAKES = 100  # a good network makes about 200
CAPTION_HEIGHT = 9  # in pixels of the images, which have 28


def load_any_network(file, design=None):
    """Return the network saved in `file`, in eval mode, and whether its inputs are normalised.

    Its kind is told by the names and shapes in the file; `design`, a name of the convolutional
    script's `--net`, tells where they don't. Raises OSError or ValueError.
    """
    state = models.read_state(file)
    network = models.fill(_create_network(state, file, design), state, file)
    return network.eval(), models.is_normalized(state)


def _create_network(state, file, design):
    if design is None and "conv2.weight" in state and "hidden_layer.weight" in state:
        raise ValueError(
            f"{file} holds a 2conv or a relu network, which look the same; say which by --net"
        )
    if design is not None or "conv1.weight" in state or "conv.weight" in state:
        return DESIGNS[design or ("final" if "conv1.weight" in state else "simple")].network()
    if "hidden_layer.weight" in state:
        return Net(len(state["hidden_layer.weight"]))
    return Net()


@torch.no_grad()
def predict(network, dataset):
    """Return the images [N, 28, 28], labels [N], predictions [N] and their outputs [N]."""
    stored = find_stored_images(dataset)
    images, labels = stored.take(torch.arange(len(dataset)))
    if isinstance(network, Net):
        images = images.flatten(start_dim=1)
    outputs = torch.cat([network(batch) for batch in images.split(1000)])
    if not isinstance(network, Net):
        outputs = outputs.softmax(dim=1)
    values, predictions = outputs.max(dim=1)
    return stored.images, labels, predictions, values


def draw(figure, network, images, labels, predictions, values):
    """Draw on a figure what a network makes of images, as `predict` returns it."""
    mistakes, confusion, first_layer = figure.subplots(1, 3)
    draw_mistakes(mistakes, images, labels, predictions, values)
    draw_confusion(confusion, count_confusions(labels, predictions))
    draw_first_layer(first_layer, network)


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
    pairs = labels * OUTPUT_SIZE + predictions
    return torch.bincount(pairs, minlength=OUTPUT_SIZE**2).view(OUTPUT_SIZE, OUTPUT_SIZE)


def print_precision_and_recall(counts):
    """Print for each digit how many of its predictions are right, and of its images recognised."""
    print("digit  precision  recall")
    for digit in range(OUTPUT_SIZE):
        right = counts[digit, digit].item()
        precision = right / max(1, counts[:, digit].sum().item())
        recall = right / max(1, counts[digit].sum().item())
        print(f"{digit:5}  {precision:9.4f}  {recall:6.4f}")


def draw_confusion(axes, counts):
    """Draw how many images of each digit get each prediction, the right ones in grey."""
    mistakes = (counts - counts.diag().diag()).numpy()
    image = axes.imshow(mistakes, cmap="Blues")
    for digit in range(OUTPUT_SIZE):
        for prediction in range(OUTPUT_SIZE):
            is_dark = image.norm(mistakes[digit, prediction]) > 0.6
            colour = "gray" if digit == prediction else "white" if is_dark else "black"
            count = int(counts[digit, prediction])
            axes.text(prediction, digit, count, color=colour, ha="center", va="center")
    axes.set_xticks(range(OUTPUT_SIZE))
    axes.set_yticks(range(OUTPUT_SIZE))
    axes.set_xlabel("prediction")
    axes.set_ylabel("digit")
    axes.set_title("Number of test images, by digit and prediction")


def draw_first_layer(axes, network):
    """Draw the weights of each neuron, or filter, of the first layer as an image."""
    first_layer = next(m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d))
    side = 28 if isinstance(first_layer, nn.Linear) else first_layer.kernel_size[0]
    weights = first_layer.weight.detach().reshape(-1, side, side).numpy()
    large = np.quantile(np.abs(weights), 0.999)  # the very largest would leave the rest pale
    image = axes.imshow(tile(weights), cmap="RdBu_r", vmin=-large, vmax=large)
    axes.set_axis_off()
    name = "hidden neurons" if side == 28 else "filters of the first convolution"
    axes.set_title(f"What each of the {len(weights)} {name} looks for")
    axes.figure.colorbar(image, ax=axes, label="weight of a pixel", extend="both", shrink=0.8)


def draw_course(figure, rows):
    """Draw loss and test accuracy over the epochs, from the rows of `progress.read_log`."""
    if not rows:
        raise ValueError("the log has no lines yet")
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
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
    losses.set_yscale("log")


def tile(images):
    """Lay images [N, height, width] out in rows, a pixel's margin around each: one image."""
    images = np.pad(images, ((0, -len(images) % COLUMNS), (1, 1), (1, 1)))
    _, height, width = images.shape
    rows = images.reshape(-1, COLUMNS, height, width).swapaxes(1, 2)
    return rows.reshape(-1, COLUMNS * width)


def add_network_flags(parser):
    """Add `--net` and `--normalize`, which tell what a saved network's file may leave open."""
    parser.add_argument("--net", choices=DESIGNS, help="the network, where MODEL leaves it open")
    parser.add_argument(
        "--normalize",
        action="store_true",
        help="normalise the inputs (default: if the file says that the network was trained so)",
    )


def create_parser():
    parser = command_line.OneLineParser(
        description="Draw what a saved network does with the test images: its mistakes, what it "
        "confuses, what its first layer looks for.",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a file of --save-model")
    parser.add_argument("--log", metavar="FILE", help="draw the course of a training: its --log")
    parser.add_argument("--out", metavar="FILE", help="write a PNG here (default: open a window)")
    add_network_flags(parser)
    command_line.add_data_root_flag(parser)
    return parser


def prepare_network(settings):
    """Print precision and recall of the network in a file; return how to draw it on a figure."""
    network, normalized = load_any_network(settings.model, settings.net)
    transform = common.get_transform(normalized or settings.normalize)
    test_set = common.get_dataset(settings.data_root, train=False, transform=transform)
    images, labels, predictions, values = predict(network, test_set)
    print_precision_and_recall(count_confusions(labels, predictions))
    return lambda figure: draw(figure, network, images, labels, predictions, values)


def main():
    settings = create_parser().parse_args()
    if (settings.model is None) == (settings.log is None):
        raise ValueError("give either a saved network, MODEL, or the --log of a training")
    if settings.out is not None:
        # A PNG only, lest a slip of the hand replace the model.
        if not settings.out.lower().endswith(".png"):
            raise ValueError(f"--out writes a PNG; {settings.out} doesn't end in .png")
        atomic.check_writable(settings.out)

    if settings.log is None:
        draw_on = prepare_network(settings)
    else:
        _, rows = progress.read_log(settings.log)
        draw_on = functools.partial(draw_course, rows=rows)
    if settings.out is None:
        from matplotlib import pyplot

        from handwriting.window import BACKENDS_WITHOUT_WINDOWS

        if pyplot.get_backend().lower() in BACKENDS_WITHOUT_WINDOWS:
            raise RuntimeError("there is no display to open a window on; --out FILE writes a PNG")
        draw_on(pyplot.figure(figsize=SIZE, dpi=WINDOW_DPI, layout="constrained"))
        pyplot.show()
    else:
        from matplotlib.figure import Figure

        figure = Figure(figsize=SIZE, dpi=100, layout="constrained")
        draw_on(figure)
        atomic.write(settings.out, lambda stream: figure.savefig(stream, format="png"))


if __name__ == "__main__":
    command_line.run(main)
