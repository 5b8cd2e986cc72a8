"""Train the network that comes along: `python -m handwriting.train` writes `handwriting/digits.pt`.

It is the `relu` design. It never sees an image twice: each is turned, scaled, sheared, shifted and
drawn with another pen every time, since the pens and hands of a page aren't those of MNIST.
MNIST's are of Americans, so one image in 11 is a drawing of what its hands hardly have: a 1 with a
long upstroke, a 9 with a curled tail, an open 4, a 7 with a bar.
"""

import math
import sys
import time

import numpy as np
import torch
from PIL import Image, ImageChops, ImageDraw
from torch.nn import functional

import common
from handwriting import DIGITS
from pytorch_mnist_convnet import ConvNetTwoConvRelu, identity
from training import files

SEED, EPOCHS, BATCH_SIZE, LEARNING_RATE = 1, 16, 100, 0.002
NUM_DRAWN = 6000  # drawings beside MNIST's 60,000 images

# Points of strokes, 0 to 100 from left to right and from top to bottom.
EUROPEAN = [
    (1, [[(22, 48), (60, 8), (60, 92)]]),
    (1, [[(8, 66), (62, 8), (58, 92)]]),
    (1, [[(12, 88), (56, 10), (62, 92)]]),
    (1, [[(14, 58), (70, 8), (50, 92)]]),
    (1, [[(6, 60), (72, 10), (62, 92)]]),
    (1, [[(18, 50), (66, 8), (44, 92)]]),
    (1, [[(30, 38), (56, 10), (54, 92)], [(30, 92), (80, 92)]]),
    (4, [[(30, 8), (20, 58), (84, 58)], [(66, 22), (62, 94)]]),
    (4, [[(58, 6), (16, 62), (88, 62)], [(64, 40), (62, 94)]]),
    (4, [[(24, 10), (22, 40), (36, 52), (74, 48)], [(76, 8), (72, 94)]]),
    (7, [[(22, 12), (78, 10), (42, 92)], [(34, 52), (72, 50)]]),
    (7, [[(18, 26), (22, 10), (80, 12), (58, 52), (46, 92)], [(32, 54), (76, 48)]]),
    (9, [[(74, 20), (50, 8), (28, 26), (44, 46), (70, 36), (74, 20), (72, 66), (56, 92), (30, 88),
          (22, 74)]]),
    (9, [[(72, 24), (48, 8), (26, 28), (46, 50), (72, 24), (70, 70), (50, 94), (24, 82)]]),
]  # fmt: skip


def draw_european(number, random):
    """Return drawings as images uint8 [N, 28, 28] and their digits int64 [N].

    Like MNIST's, they fill a box of 20 pixels, their centre of mass in the middle.
    """
    images, digits = [], []
    for _ in range(number):
        digit, strokes = EUROPEAN[random.integers(len(EUROPEAN))]
        width = int(random.uniform(14, 36))  # of 280 pixels
        stretch, roundness = random.uniform(0.5, 1.0), random.integers(3)
        strokes = [
            smooth(stroke + random.normal(0, 4, (len(stroke), 2)), roundness) * (stretch, 1)
            for stroke in map(np.array, strokes)
        ]
        joined = np.concatenate(strokes)
        low, extent = joined.min(axis=0), np.ptp(joined, axis=0).max()
        page = Image.new("L", (280, 280))
        draw = ImageDraw.Draw(page)
        for stroke in strokes:
            points = (stroke - low) * (200 - width) / extent + 40 + width / 2
            draw.line([tuple(point) for point in points], fill=255, width=width, joint="curve")
            for x, y in (points[0], points[-1]):
                draw.ellipse([x - width / 2, y - width / 2, x + width / 2, y + width / 2], 255)
        down, right = 140 - np.argwhere(page).mean(axis=0).round().astype(int)
        page = ImageChops.offset(page, int(right), int(down))
        images.append(np.asarray(page.resize((28, 28), Image.Resampling.BOX)))
        digits.append(digit)
    return torch.from_numpy(np.stack(images)), torch.tensor(digits)


def smooth(points, times):
    """Round a polyline's corners off: Chaikin's algorithm cuts each at a quarter of its sides."""
    for _ in range(times):
        start, end = points[:-1], points[1:]
        cut = np.stack([0.75 * start + 0.25 * end, 0.25 * start + 0.75 * end], 1).reshape(-1, 2)
        points = np.concatenate([points[:1], cut, points[-1:]])
    return points


def vary(images):
    """Return images float32 [N, 1, 28, 28], each drawn otherwise: another pen, slant, size, place.

    Turned by up to 20 degrees, scaled by up to 15 % (each side), sheared by up to 0.3, shifted by
    up to 1.5 pixels.
    """
    number = len(images)

    def draw(limit):
        return (2 * torch.rand(number, device=images.device) - 1) * limit

    thicker = functional.max_pool2d(images, 3, 1, 1)
    thinner = -functional.max_pool2d(-images, 3, 1, 1)
    pen = draw(1.0)[:, None, None, None]
    images = images + pen.clamp(min=0) * (thicker - images)
    images = images + (-pen).clamp(min=0) * 0.6 * (thinner - images)

    angle, shear = draw(math.radians(20)), draw(0.3)
    wide, high = 1 + draw(0.15), 1 + draw(0.15)
    cos, sin, shift = angle.cos(), angle.sin(), 1.5 / 14
    rows = [
        torch.stack([cos * wide, (shear * cos - sin) * high, draw(shift)], 1),
        torch.stack([sin * wide, (shear * sin + cos) * high, draw(shift)], 1),
    ]
    grid = functional.affine_grid(torch.stack(rows, 1), images.shape, align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def train(epochs=EPOCHS):
    """Return the trained network, in eval mode; its progress goes to stderr."""
    torch.manual_seed(SEED)
    dataset = common.get_dataset()
    drawn, digits = draw_european(NUM_DRAWN, np.random.default_rng(SEED))
    images = torch.cat([dataset.data, drawn])[:, None]
    labels = torch.cat([dataset.targets, digits])

    net = ConvNetTwoConvRelu().to(memory_format=torch.channels_last)
    num_steps = math.ceil(len(images) / BATCH_SIZE)
    adam = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(adam, LEARNING_RATE, epochs * num_steps)
    start = time.perf_counter()
    for epoch in range(epochs):
        for batch in torch.randperm(len(images)).split(BATCH_SIZE):
            adam.zero_grad()
            outputs = net(vary(images[batch] / 255))
            loss = functional.cross_entropy(outputs, labels[batch], label_smoothing=0.02)
            loss.backward()
            adam.step()
            schedule.step()
        seconds = time.perf_counter() - start
        print(f"epoch {epoch + 1} of {epochs}, {seconds:.0f} s", file=sys.stderr, flush=True)
    return net.eval()


def main():
    torch.set_num_threads(1)
    net = train()
    test(net)
    print(f"seed {SEED}, torch {torch.__version__}")
    network = f"{type(net).__module__}.{type(net).__name__}"
    description = {"network": network, "loss": "CrossEntropyLoss()", "transform": "ToTensor"}
    files.save_network(net, DIGITS, description)


def test(net):
    """Print and return the fraction of MNIST's test images that the network gets right."""
    return common.test_network(common.get_test_loader(batch_size=1000), net, identity)


if __name__ == "__main__":
    main()
