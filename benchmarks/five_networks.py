"""Train five networks at once, as the study does; print when each epoch of all five ends."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
from pytorch_mnist import LEARNING_RATE, Net
from study import stacked
from training import command_line


def main():
    parser = command_line.OneLineParser(description=__doc__)
    command_line.add_flags(parser, epochs=3, seed=1, data_root=common.DEFAULT_ROOT)
    flags = parser.parse_args()
    loader = common.get_train_loader(root=flags.data_root)
    seeds = range(flags.seed, flags.seed + 5)
    networks = stacked.train(Net, seeds, loader, LEARNING_RATE, flags.epochs)
    next(networks)  # untrained
    for epoch, _ in enumerate(networks, start=1):
        last = len(loader)
        print(f"Epoch [{epoch}/{flags.epochs}], Step [{last}/{last}]", flush=True)


if __name__ == "__main__":
    main()
