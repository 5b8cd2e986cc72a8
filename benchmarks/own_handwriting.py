"""Measure how many digits `recognize.py` gets right that don't come as 28x28 pixels.

MNIST's test images are enlarged 3 to 15 times and put at random places on pages, which are
then disturbed in one way each. Beside it stands the accuracy on the same test images as they
are. The last rows are of digits that aren't MNIST's: `tests/handwriting/strokes.json`, which a
program wrote, drawn by mouse events in the window. Prints a Markdown table.
"""

import argparse
import json
import statistics
import sys
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common
import recognize
from files import models
from pytorch_mnist import LEARNING_RATE, OUTPUT_SIZE, Net
from training import command_line

STROKES = Path(__file__).resolve().parent.parent / "tests" / "handwriting" / "strokes.json"
SMALLEST_PAGE = 400  # pixels


def put_on_page(digit, random):
    """Return a page, float32, 0 (paper) to 1 (ink), with the image uint8 [28, 28] on it."""
    side = round(28 * random.uniform(3, 15))
    digit = Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)
    least = max(side, SMALLEST_PAGE)
    height, width = random.integers(least, 2 * least, size=2)
    page = np.zeros((height, width), dtype=np.float32)
    top, left = random.integers(0, height - side + 1), random.integers(0, width - side + 1)
    page[top : top + side, left : left + side] = np.asarray(digit, dtype=np.float32) / 255
    return page


def shade(page, random):
    """Darken the page to 40 % towards one of its corners."""
    down, right = (np.linspace(0, 1, side) for side in page.shape)
    down, right = (line[:: random.choice([1, -1])] for line in (down, right))
    return (0.95 - 0.8 * page) * (1 - 0.3 * (down[:, None] + right))


def as_picture(levels):
    return Image.fromarray((levels.clip(0, 1) * 255).astype(np.uint8))


def rotate(page, random, degrees):
    angle = random.uniform(-degrees, degrees)
    return as_picture(1 - page).rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)


def resize_plainly(page, random, invert):
    """What people try first: the page, cropped square around the digit, resized to 28x28."""
    rows, columns = (page > 0.5).any(axis=1).nonzero()[0], (page > 0.5).any(axis=0).nonzero()[0]
    side = int(1.4 * max(np.ptp(rows), np.ptp(columns)))
    top, left = (rows[0] + rows[-1] - side) // 2, (columns[0] + columns[-1] - side) // 2
    picture = as_picture(1 - page * 0.7 - 0.1)
    square = Image.new("L", (side, side), 230)
    square.paste(picture.crop((left, top, left + side, top + side)))
    level = np.asarray(square.resize((28, 28)), dtype=np.float32) / 255
    return torch.from_numpy(1 - level if invert else level)[None]


DISTURBANCES = {
    "dark on light": lambda page, random: as_picture(1 - page),
    "light on dark": lambda page, random: as_picture(page),
    "grey ink on grey paper": lambda page, random: as_picture(0.7 - 0.3 * page),
    "noise, deviation 0.05": lambda page, random: as_picture(
        0.9 - 0.8 * page + random.normal(0, 0.05, page.shape)
    ),
    "noise, deviation 0.15": lambda page, random: as_picture(
        0.9 - 0.8 * page + random.normal(0, 0.15, page.shape)
    ),
    "shade down to 40 %": lambda page, random: as_picture(shade(page, random)),
    "blur, radius 3 pixels": lambda page, random: as_picture(1 - page).filter(
        ImageFilter.GaussianBlur(3)
    ),
    "rotation up to 5 degrees": lambda page, random: rotate(page, random, 5),
    "rotation up to 10 degrees": lambda page, random: rotate(page, random, 10),
    "shade, noise 0.05, blur 1, 5 degrees": lambda page, random: as_picture(
        shade(1 - np.asarray(rotate(page, random, 5), dtype=np.float32) / 255, random)
        + random.normal(0, 0.05, page.shape)
    ).filter(ImageFilter.GaussianBlur(1)),
}
PLAIN_WAYS = {"cropped, plainly resized": False, "cropped, inverted, resized": True}


def prepare_all(disturbance, test_set, num_images, seed):
    """Return the images float32 [N, 1, 28, 28] after a disturbance, the first N of the set's.

    A picture that is refused becomes an image of NaN, which counts as a mistake: their number
    comes second.
    """
    random = np.random.default_rng(seed)
    images, num_refused = [], 0
    for digit in test_set.data[:num_images].numpy():
        page = put_on_page(digit, random)
        if disturbance in PLAIN_WAYS:
            images.append(resize_plainly(page, random, PLAIN_WAYS[disturbance]))
            continue
        try:
            images.append(recognize.to_mnist(DISTURBANCES[disturbance](page, random)))
        except recognize.NoDigit:
            images.append(torch.full((1, 28, 28), torch.nan))
            num_refused += 1
    return torch.stack(images), num_refused


def draw_with_mouse(recognizer, strokes, pen_scale):
    """Draw strokes by mouse events in a window; return what the network saw, and the times."""
    from matplotlib.backend_bases import MouseEvent
    from matplotlib.figure import Figure

    from handwriting import window

    figure = Figure(figsize=(11, 6), layout="constrained")
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    drawing = window.Window(figure, recognize.to_mnist, recognizer)
    canvas.draw()
    times = []
    update = drawing.update

    def timed_update():
        start = time.perf_counter()
        update()
        times.append(time.perf_counter() - start)

    drawing.update = timed_update
    for stroke in strokes:
        points = [(window.SIDE * (0.5 + pen_scale * (np.array(p) / 100 - 0.5))) for p in stroke]
        names = ["button_press_event"] + ["motion_notify_event"] * (len(points) - 1)
        for name, point in zip(names, points, strict=True):
            x, y = drawing.drawing_axes.transData.transform(point)
            canvas.callbacks.process(name, MouseEvent(name, canvas, x, y, button=1))
        canvas.callbacks.process(
            "button_release_event", MouseEvent("button_release_event", canvas, x, y, button=1)
        )
    return drawing.image, times


def train_with_random_shifts(file, epochs, seed):
    """Train the dense network, each image moved, turned and scaled anew in each epoch."""
    models.check_replaceable(file)
    torch.manual_seed(seed)
    net = Net()
    optimizer = torch.optim.SGD(net.parameters(), lr=LEARNING_RATE)
    loader = common.get_train_loader(batch_size=1000)
    for epoch in range(epochs):
        for images, labels in loader:
            moved = move_at_random(images).flatten(1)
            expected = common.expand_expected_output(labels, OUTPUT_SIZE)
            for batch, y in zip(moved.split(10), expected.split(10), strict=True):
                optimizer.zero_grad()
                functional.mse_loss(net(batch), y).backward()
                optimizer.step()
        print(f"epoch {epoch + 1} of {epochs}", file=sys.stderr, flush=True)
    models.save_model(net, file)


def move_at_random(images):
    """Turn by up to 10 degrees, scale by up to 10 %, shift by up to 1.5 pixels."""
    num_images = len(images)

    def draw(limit):
        return (2 * torch.rand(num_images) - 1) * limit

    angle, scale = draw(np.pi / 18), 1 + draw(0.1)
    cos, sin = angle.cos() * scale, angle.sin() * scale
    shift = 1.5 / 14
    rows = [torch.stack([cos, -sin, draw(shift)], 1), torch.stack([sin, cos, draw(shift)], 1)]
    grid = functional.affine_grid(torch.stack(rows, 1), images.shape, align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


@torch.no_grad()
def count(net, normalize, images, labels):
    outputs = net(recognize.prepare(images, isinstance(net, Net), normalize))
    is_seen = ~images.isnan().flatten(1).any(dim=1)
    return ((outputs.argmax(dim=1) == labels) & is_seen).float().mean().item()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", metavar="MODEL", nargs="+", help="saved networks")
    parser.add_argument("--images", type=int, default=1000, help="test images (default: 1000)")
    parser.add_argument(
        "--only", choices=[*DISTURBANCES, *PLAIN_WAYS], metavar="NAME", help="a row of the table"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--train", type=int, metavar="EPOCHS", help="train MODEL, on random shifts")
    settings = parser.parse_args()
    torch.set_num_threads(1)
    if settings.train:
        train_with_random_shifts(settings.models[0], settings.train, settings.seed)
        return

    nets = [recognize.load_network(file) for file in settings.models]
    test_set = common.get_dataset(train=False)
    labels = test_set.targets[: settings.images]
    names = [Path(file).stem for file in settings.models]
    print(f"| {settings.images} test images | refused | {' | '.join(names)} |")
    print("|---|--:|" + "--:|" * len(nets))

    def report(name, images, labels, num_refused):
        values = " | ".join(f"{100 * count(*net, images, labels):.1f} %" for net in nets)
        print(f"| {name} | {num_refused} | {values} |", flush=True)

    plain = test_set.data[: settings.images, None].float() / 255
    report("as they are", plain, labels, 0)
    for name in [settings.only] if settings.only else [*DISTURBANCES, *PLAIN_WAYS]:
        images, num_refused = prepare_all(name, test_set, settings.images, settings.seed)
        report(name, images, labels, num_refused)

    if settings.only:
        return
    net, normalize = nets[0]
    drawings = json.loads(STROKES.read_text())
    for size in (0.6, 1.0):
        images, times = [], []
        for drawing in drawings:
            image, its_times = draw_with_mouse(
                lambda image: recognize.look(net, image, normalize), drawing["strokes"], size
            )
            images.append(image)
            times += its_times
        digits = torch.tensor([drawing["digit"] for drawing in drawings])
        report(f"{len(digits)} drawn at {size:.1f} of the sheet", torch.stack(images), digits, 0)
    print(
        f"\nfrom stroke to bars: median {1000 * statistics.median(times):.0f} ms, "
        f"the fastest {1000 * min(times):.0f} ms, the slowest {1000 * max(times):.0f} ms"
    )


if __name__ == "__main__":
    command_line.run(main)
