"""Why do runs get stuck? Follows one output neuron of each of a few runs over the epochs.

    python -m study.trace article:1:8 init:7:8 init:1:0

trains `article` from seed 1, `init` from the seeds 7 and 1, and follows the output neurons of
the digits 8, 8 and 0: how strongly they respond to the images of their digit, the sigmoid's
derivative there, and the gradient of the cost for their weights. The picture and the numbers go
to `trace.png` and `trace.csv`.
"""

import argparse
import functools
from pathlib import Path

import pandas as pd
import torch

from files import atomic
from mnist import files as mnist_files
from mnist.loader import find_stored_images
from pytorch_mnist import NUM_EPOCHS, OUTPUT_SIZE
from study import plots, stacked, variants
from training import command_line
from training.run import use_threads

SATURATED = 0.01  # a sigmoid is saturated if its value is so close to 0 or 1


def trace(variant, seed, digit, *, epochs=NUM_EPOCHS, data_root=mnist_files.DEFAULT_ROOT):
    """Train the variant of this name from this seed; return a table of one row an epoch.

    Row 0 is of the untrained network. For the columns, see `measure`.
    """
    settings = variants.VARIANTS[variant]
    train_loader = variants.get_train_loader(settings, data_root)
    nets, random_states = stacked.create_networks(
        functools.partial(variants.create_network, settings), [seed]
    )
    images, labels = find_stored_images(train_loader.dataset).take(
        torch.arange(len(train_loader.dataset))
    )
    rows = []

    def measure_after_each_epoch():
        for epoch in range(epochs + 1):
            if epoch > 0:
                yield epoch
            measured = measure(nets[0], images.flatten(1), labels, digit, settings)
            rows.append(
                {"variant": variant, "seed": seed, "digit": digit, "epoch": epoch, **measured}
            )

    with use_threads(1):
        stacked.train_networks(
            nets,
            random_states,
            train_loader,
            variants.get_learning_rate(settings),
            measure_after_each_epoch(),
        )
    return pd.DataFrame(rows)


@torch.no_grad()
def measure(net, inputs, labels, digit, variant):
    """Measure a digit's output neuron on training inputs [N, 784] with labels [N]: a dict of floats.

    - `recognised`: the fraction of the digit's images that the network takes for it
    - `output`: the neuron's median output on the digit's images, where it should be 1
    - `derivative`: the median of the sigmoid's derivative there, (1 - a) a
    - `gradient`: the norm of the cost's gradient for the neuron's weights and bias, over all N
    - `hidden_saturated`: the fraction of hidden outputs, over all N, within 0.01 of 0 or 1
    """
    a_l1 = torch.sigmoid(net.hidden_layer(inputs))
    a_l2 = torch.sigmoid(net.output_layer(a_l1))
    its_outputs = a_l2[labels == digit]

    # BP1, for this neuron alone; BP4 and BP3 give its gradients.
    a, y = a_l2[:, digit], (labels == digit).float()
    delta = 2 / a_l2.numel() * (a - y) * (1 - a) * a
    if variant.book_cost:
        delta *= variants.BOOK_COST_FACTOR
    gradient = torch.cat([delta @ a_l1, delta.sum().unsqueeze(0)])

    return {
        "recognised": (its_outputs.argmax(dim=1) == digit).float().mean().item(),
        "output": its_outputs[:, digit].median().item(),
        "derivative": ((1 - its_outputs) * its_outputs)[:, digit].median().item(),
        "gradient": gradient.norm().item(),
        "hidden_saturated": ((a_l1 < SATURATED) | (a_l1 > 1 - SATURATED)).float().mean().item(),
    }


def parse_run(text):
    """Convert "init:7:8" to variant, seed and digit, for argparse."""
    try:
        variant, seed, digit = text.split(":")
        run = variant, int(seed), int(digit)
    except ValueError:
        run = None, 0, 0
    if run[0] not in variants.VARIANTS or run[1] < 0 or run[2] not in range(OUTPUT_SIZE):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not VARIANT:SEED:DIGIT, such as init:7:8, with a variant of "
            + ", ".join(variants.VARIANTS)
        )
    return run


def main():
    parser = command_line.OneLineParser(
        description="Follow output neurons over the epochs of a few runs.", allow_abbrev=False
    )
    parser.add_argument("runs", nargs="+", type=parse_run, metavar="VARIANT:SEED:DIGIT")
    add = functools.partial(command_line.add_flag, parser)
    add(
        "--epochs",
        "passes over the training data",
        type=command_line.positive_int,
        default=NUM_EPOCHS,
        metavar="N",
    )
    add("--results", "where picture and numbers go", default="reproduction", metavar="FOLDER")
    command_line.add_data_root_flag(parser)
    settings = parser.parse_args()
    folder = Path(settings.results).expanduser()
    folder.mkdir(parents=True, exist_ok=True)

    table = pd.concat(
        [trace(*run, epochs=settings.epochs, data_root=settings.data_root) for run in settings.runs]
    )
    atomic.write_text(folder / "trace.csv", table.to_csv(index=False, float_format="%.4g"))
    plots.save(plots.draw_trace(table), folder / "trace.png")
    print(table[table["epoch"].isin([0, 1, settings.epochs])].to_string(index=False))


if __name__ == "__main__":
    command_line.run(main)
