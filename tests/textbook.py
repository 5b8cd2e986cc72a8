"""The textbook pipeline: the oracle of the training tests, the base of the benchmarks.

torchvision's MNIST with ToTensor for each image, a plain DataLoader, one-hot targets built
element by element, MSELoss, SGD, as PyTorch's documentation teaches them. It uses nothing
of this project. As a script it trains and tests for `--epochs`.
"""

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def create_dataset(root, train=True, num_images=None):
    dataset = datasets.MNIST(root, train=train, transform=transforms.ToTensor(), download=True)
    dataset.data = dataset.data[:num_images]
    dataset.targets = dataset.targets[:num_images]
    return dataset


def create_loader(dataset, batch_size=10, shuffle=True):
    return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)


def create_net():
    return nn.Sequential(nn.Linear(784, 100), nn.Sigmoid(), nn.Linear(100, 10), nn.Sigmoid())


def train(loader, net, epochs, lr=3.0):
    """Train the net; yield the line that the article prints at each 100th and last step."""
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    for epoch in range(epochs):
        for i, (images, labels) in enumerate(loader):
            targets = [[1.0 if j == label else 0.0 for j in range(10)] for label in labels.tolist()]
            loss = nn.MSELoss()(net(images.reshape(-1, 784)), torch.tensor(targets))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if (i + 1) % 100 == 0 or i + 1 == len(loader):
                position = f"Epoch [{epoch + 1}/{epochs}], Step [{i + 1}/{len(loader)}]"
                yield f"{position}, Loss: {loss.item():.4f}"


@torch.no_grad()
def test(loader, net):
    correct = 0
    for images, labels in loader:
        correct += (net(images.reshape(-1, 784)).argmax(1) == labels).sum().item()
    return correct / len(loader.dataset)


def main():
    parser = argparse.ArgumentParser(description="Train by the textbook pipeline.")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--data-root", default=Path(__file__).resolve().parent.parent / "data")
    arguments = parser.parse_args()

    torch.manual_seed(arguments.seed)
    net = create_net()
    train_loader = create_loader(create_dataset(arguments.data_root), arguments.batch_size)
    for line in train(train_loader, net, arguments.epochs):
        print(line, flush=True)
    test_loader = create_loader(create_dataset(arguments.data_root, train=False), shuffle=False)
    print(f"\nTest data results: {test(test_loader, net)}")


if __name__ == "__main__":
    main()
