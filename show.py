"""Show what a trained network does: its mistakes, what it confuses, what its neurons look for.

The network is one that `pytorch_mnist.py --save-model FILE` has saved: `show.py FILE` shows it.
"""

import matplotlib
import numpy as np
import torch
from matplotlib.figure import Figure

import common
from files import atomic
from pytorch_mnist import OUTPUT_SIZE, Net, create_input_reshaper
from training import command_line

FIGURE = {"figsize": (24, 10), "layout": "constrained"}  # inches
BACKENDS_WITHOUT_WINDOWS = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}
COLUMNS = 10  # of the pictures that are made of small ones
MAX_MISTAKES = 100  # a good network makes about 200
CAPTION_HEIGHT = 9  # in pixels of the images, which have 28


def draw(figure, net, test_set):
    """Draw on a figure what a `pytorch_mnist.Net` does on the items of an MNIST data set."""
    images, labels = test_set.data, test_set.targets
    with torch.no_grad():
        values, answers = net(create_input_reshaper()(images.div(255))).max(dim=1)

    mistakes, confusion, neurons = figure.subplots(1, 3)
    draw_mistakes(mistakes, images, labels, answers, values)
    draw_confusion(confusion, labels, answers)
    draw_hidden_neurons(neurons, net)


def draw_mistakes(axes, images, labels, answers, values):
    """Draw images [N, 28, 28] that are taken for another digit, the surest mistakes first.

    Labels and answers are digits, values the outputs of the answering neurons, all [N].
    """
    mistakes = (answers != labels).nonzero().flatten()
    shown = mistakes[values[mistakes].argsort(descending=True)][:MAX_MISTAKES]
    axes.set_axis_off()
    axes.set_title(
        f"{len(mistakes)} of {len(labels)} images are mistaken; the {len(shown)} surest:\n"
        "digit > answer, and the answering neuron's output"
    )
    if len(shown) == 0:
        return
    axes.imshow(tile(np.pad(images[shown], ((0, 0), (0, CAPTION_HEIGHT), (0, 0)))), cmap="gray")
    for position, index in enumerate(shown):
        row, column = divmod(position, COLUMNS)
        axes.text(
            column * 30 + 15,
            (row + 1) * (30 + CAPTION_HEIGHT) - 2,
            f"{labels[index]} > {answers[index]}  {values[index]:.2f}",
            color="white",
            fontsize=8,
            ha="center",
            va="bottom",
        )


def draw_confusion(axes, labels, answers):
    """Draw how many images of each digit get each answer, the right ones in grey."""
    counts = torch.zeros(OUTPUT_SIZE, OUTPUT_SIZE, dtype=torch.int64)
    counts.index_put_((labels, answers), torch.tensor(1), accumulate=True)
    mistakes = (counts - counts.diag().diag()).numpy()
    image = axes.imshow(mistakes, cmap="Blues")
    for digit in range(OUTPUT_SIZE):
        for answer in range(OUTPUT_SIZE):
            is_dark = image.norm(mistakes[digit, answer]) > 0.6
            colour = "gray" if digit == answer else "white" if is_dark else "black"
            axes.text(
                answer, digit, int(counts[digit, answer]), color=colour, ha="center", va="center"
            )
    axes.set_xticks(range(OUTPUT_SIZE))
    axes.set_yticks(range(OUTPUT_SIZE))
    axes.set_xlabel("answer")
    axes.set_ylabel("digit")
    axes.set_title("Number of test images, by digit and answer")


def draw_hidden_neurons(axes, net):
    """Draw the weights of each hidden neuron as an image: what it looks for, and avoids."""
    weights = net.hidden_layer.weight.detach().view(-1, 28, 28).numpy()
    large = np.quantile(np.abs(weights), 0.999)  # the very largest would leave the rest pale
    image = axes.imshow(tile(weights), cmap="RdBu_r", vmin=-large, vmax=large)
    axes.set_axis_off()
    axes.set_title(f"What each of the {len(weights)} hidden neurons looks for")
    axes.figure.colorbar(image, ax=axes, label="weight of a pixel", extend="both", shrink=0.8)


def tile(images):
    """Lay images [N, height, width] out in rows, a pixel's margin around each: one image."""
    images = np.pad(images, ((0, -len(images) % COLUMNS), (1, 1), (1, 1)))
    _, height, width = images.shape
    rows = images.reshape(-1, COLUMNS, height, width).swapaxes(1, 2)
    return rows.reshape(-1, COLUMNS * width)


def main():
    parser = command_line.OneLineParser(
        description="Draw a dense network that pytorch_mnist.py has saved: its mistakes, what it "
        "confuses, what its hidden neurons look for.",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", help="a file that --save-model wrote")
    parser.add_argument("--out", metavar="FILE", help="write a PNG here (default: open a window)")
    command_line.add_data_root_flag(parser)
    settings = parser.parse_args()
    if settings.out is None:
        from matplotlib import pyplot

        if matplotlib.get_backend().lower() in BACKENDS_WITHOUT_WINDOWS:
            raise RuntimeError("there is no display to open a window on; --out FILE writes a PNG")
        figure = pyplot.figure(**FIGURE)
    else:
        # A PNG only, lest a slip of the hand replace the model.
        if not settings.out.lower().endswith(".png"):
            raise ValueError(f"--out writes a PNG; {settings.out} doesn't end in .png")
        atomic.check_writable(settings.out)
        figure = Figure(**FIGURE)

    net = common.load_network(Net(), settings.model)
    draw(figure, net, common.get_dataset(settings.data_root, train=False))
    if settings.out is None:
        pyplot.show()
    else:
        atomic.write(settings.out, lambda stream: figure.savefig(stream, format="png"))


if __name__ == "__main__":
    command_line.run(main)
