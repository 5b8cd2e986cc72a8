"""Small data in MNIST's format, for the tests."""

import gzip

import torch

PARTS = {True: "train", False: "t10k"}


def to_idx(numbers, kind=8):
    """Return a tensor of uint8 as the content of an IDX file."""
    sizes = b"".join(size.to_bytes(4, "big") for size in numbers.shape)
    return bytes([0, 0, kind, numbers.dim()]) + sizes + numbers.numpy().tobytes()


def write_data(folder, num_images=20, pack=True):
    """Write the same images and labels as training and test set; return both, uint8."""
    folder.mkdir(parents=True, exist_ok=True)
    random = torch.Generator().manual_seed(1)
    images = torch.randint(256, (num_images, 28, 28), dtype=torch.uint8, generator=random)
    labels = torch.arange(num_images, dtype=torch.uint8) * 7 % 10
    for part in PARTS.values():
        for name, numbers in (("images-idx3", images), ("labels-idx1", labels)):
            file = folder / f"{part}-{name}-ubyte"
            if pack:
                file.with_name(f"{file.name}.gz").write_bytes(gzip.compress(to_idx(numbers)))
            else:
                file.write_bytes(to_idx(numbers))
    return images, labels
