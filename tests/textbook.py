"""The textbook pipeline, the oracle of the training tests; it uses nothing of this project.

torchvision's MNIST with ToTensor for each image, a plain DataLoader, one-hot targets built
element by element, MSELoss, SGD.
"""

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


def create_dataset(root, train=True, num_images=None):
    dataset = datasets.MNIST(root, train=train, transform=transforms.ToTensor())
    dataset.data = dataset.data[:num_images]
    dataset.targets = dataset.targets[:num_images]
    return dataset


def create_loader(dataset, batch_size=10, shuffle=True):
    return DataLoader(dataset, batch_size=batch_size, shuffle=shuffle)


def create_net():
    return nn.Sequential(nn.Linear(784, 100), nn.Sigmoid(), nn.Linear(100, 10), nn.Sigmoid())


def train(loader, net, epochs, lr=3.0):
    """Train the net; return the line that the article prints at each 100th and last step."""
    lines = []
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
                lines.append(f"{position}, Loss: {loss.item():.4f}")
    return lines
