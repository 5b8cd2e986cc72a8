"""Train five networks at once, as the study does; print when each epoch of all five ends."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
from pytorch_mnist import LEARNING_RATE, Net
from study import stacked


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    settings = parser.parse_args()

    loader = common.get_train_loader(batch_size=settings.batch_size)
    seeds = range(settings.seed, settings.seed + 5)
    networks = stacked.train(Net, seeds, loader, LEARNING_RATE, settings.epochs)
    next(networks)  # untrained
    for epoch, _ in enumerate(networks, start=1):
        steps = f"Step [{len(loader)}/{len(loader)}]"
        print(f"Epoch [{epoch}/{settings.epochs}], {steps}", flush=True)


if __name__ == "__main__":
    main()
