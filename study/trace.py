"""Why do runs miss a digit? Follows the ten output neurons of a few runs over the epochs.

    python -m study.trace article:1 init:7 init:1

trains `article` from seed 1, and `init` from the seeds 7 and 1. After each epoch it measures how
strongly each output neuron responds to the images of its digit, the sigmoid's derivative there,
and the gradient of the cost for the neuron's weights. The picture and the numbers go to
`trace.png` and `trace.csv`.
"""

import training  # noqa: F401 # isort: skip (not part of the lesson: it makes Ctrl-C one line)

import argparse

import pandas as pd
import torch

import common
from files import atomic
from pytorch_mnist import NUM_EPOCHS, OUTPUT_SIZE
from study import plots, stacked, variants
from study.results import add_results_flag, create_folder
from training import command_line

SATURATED = 0.01  # a sigmoid is saturated if its value is so close to 0 or 1


def trace(variant, seed, *, epochs=NUM_EPOCHS, data_root=common.DEFAULT_ROOT):
    """Train the variant of this name from this seed; return a table of ten rows an epoch.

    Epoch 0 is of the untrained network. For the columns, see `measure`.
    """
    settings = variants.VARIANTS[variant]
    train_loader = variants.get_train_loader(settings, data_root)
    nets, random_states = stacked.create_networks(lambda: variants.create_network(settings), [seed])
    images, labels = variants.read_all(train_loader.dataset)
    rows = []

    def measure_after_each_epoch():
        for epoch in range(epochs + 1):
            if epoch > 0:
                yield epoch
            for measured in measure(*nets, images.flatten(1), labels, settings):
                rows.append({"variant": variant, "seed": seed, "epoch": epoch, **measured})

    lr = variants.get_learning_rate(settings)
    stacked.train_networks(nets, random_states, train_loader, lr, measure_after_each_epoch())
    return pd.DataFrame(rows)


@torch.no_grad()
def measure(net, inputs, labels, variant):
    """Measure the output neurons on training inputs [N, 784] with labels [N]: a list of ten dicts.

    - `digit`: the neuron's
    - `recognised`: the fraction of the digit's images that the network takes for it
    - `output`: the neuron's median output on the digit's images, where it should be 1
    - `derivative`: the median of the sigmoid's derivative there, (1 - a) a
    - `gradient`: the norm of the cost's gradient for the neuron's weights and bias, over all N
    - `hidden_saturated`: the fraction of hidden outputs, over all N, within 0.01 of 0 or 1
    """
    a_l1 = torch.sigmoid(net.hidden_layer(inputs))
    a_l2 = torch.sigmoid(net.output_layer(a_l1))
    y = common.expand_expected_output(labels, OUTPUT_SIZE)
    delta_l2 = 2 / y.numel() * (a_l2 - y) * (1 - a_l2) * a_l2  # BP1
    delta_l2 *= variants.get_cost_factor(variant)
    gradients = torch.cat([delta_l2.T @ a_l1, delta_l2.sum(dim=0).unsqueeze(1)], dim=1)  # BP4, BP3
    hidden_saturated = ((a_l1 < SATURATED) | (a_l1 > 1 - SATURATED)).float().mean().item()

    rows = []
    for digit in range(OUTPUT_SIZE):
        outputs = a_l2[labels == digit]
        digit_outputs = outputs[:, digit]
        rows.append(
            {
                "digit": digit,
                "recognised": (outputs.argmax(dim=1) == digit).float().mean().item(),
                "output": digit_outputs.median().item(),
                "derivative": ((1 - digit_outputs) * digit_outputs).median().item(),
                "gradient": gradients[digit].norm().item(),
                "hidden_saturated": hidden_saturated,
            }
        )
    return rows


def parse_run(text):
    """Convert "init:7" to variant and seed, for argparse."""
    variant, _, seed = text.partition(":")
    if variant not in variants.VARIANTS or not seed.isdecimal():
        raise argparse.ArgumentTypeError(
            f"{text!r} is not VARIANT:SEED, such as init:7, with a variant of "
            + ", ".join(variants.VARIANTS)
        )
    return variant, command_line.valid_seed(seed)


def main():
    parser = command_line.OneLineParser(
        description="Follow the output neurons of a few runs over the epochs."
    )
    parser.add_argument("runs", nargs="+", type=parse_run, metavar="VARIANT:SEED")
    command_line.add_epochs_flag(parser, NUM_EPOCHS)
    add_results_flag(parser, "where picture and numbers go")
    command_line.add_data_root_flag(parser)
    settings = parser.parse_args()
    folder = create_folder(settings.results)

    tables = [
        trace(*run, epochs=settings.epochs, data_root=settings.data_root) for run in settings.runs
    ]
    table = pd.concat(tables)
    atomic.write_text(
        folder / "trace.csv", table.to_csv(index=False, lineterminator="\n", float_format="%.4g")
    )
    plots.save(plots.draw_trace(tables), folder / "trace.png")
    for run_table in tables:
        digit = run_table["digit"] == plots.find_least_recognised(run_table)
        print(run_table[digit].to_string(index=False, float_format="%.2g"))


if __name__ == "__main__":
    main()
