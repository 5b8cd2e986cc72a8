"""Recognise your own handwriting with a network that this project has trained and saved.

    python recognize.py MODEL PICTURE...    a line for each picture: which digit, and how sure
    python recognize.py MODEL               a window to draw in

A network knows only pictures that were made as its training pictures were. So the lesson is
`to_mnist`, which makes a photograph into a picture of that kind. Its steps are those by which
MNIST was made, as Yann LeCun describes them on its page: NIST's black and white scans were
scaled, without distortion, to fit into a box of 20x20 pixels, which left grey levels at the edges,
and were then placed in 28x28 pixels so that their centre of mass is in the middle.
"""

import math
import sys
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, ImageStat
from scipy import ndimage
from torchvision import transforms

import common
from files import atomic
from handwriting.levels import divide, find_pieces, opening
from pytorch_mnist import INPUT_SIZE, OUTPUT_SIZE, Net
from show import add_network_flags, load_any_network
from training import command_line

BOX = 20  # pixels of the 28: the longer side of a digit
CENTER = 14  # row and column of the centre of mass: MNIST's training images have 14.00, 14.01
THINNEST, THICKEST = 1.8, 6.5  # pixels: MNIST's strokes, but for 5 % below and none above

PAGE = 512  # pixels: the longer side of the page that is searched for a digit
CLOSEUP = 160  # pixels: the longer side of the digit's surroundings, looked at closely
MIN_CONTRAST = 0.05  # of the range from black to white; below it, a page counts as empty
MIN_CLEARNESS = 0.7  # see `divide`; noise has 0.64, MNIST's digits have 0.85 or more


class NoDigit(ValueError):
    """The picture doesn't show one digit; the message says what is seen instead."""


def to_mnist(picture):
    """Prepare a PIL image of a handwritten digit as MNIST was: float32 [1, 28, 28], 0 to 1.

    Raises NoDigit for an empty page, several digits, or noise.
    """
    page = to_grey(picture)
    digit = find_digit(page)
    return center(fit_into_box(thicken(digit)))


def to_grey(picture):
    """Return the picture upright, as a PIL image of one band: mode L, or F with 0 to 255."""
    # A camera held on its side notes that in the file, and leaves the pixels as they were.
    picture = ImageOps.exif_transpose(picture)
    if picture.mode[0] in "IF":  # 16 or 32 bits: PIL's own conversion would cut them off at 255
        levels = np.asarray(picture, dtype=np.float32)
        lowest, highest = levels.min(), levels.max()
        return Image.fromarray((levels - lowest) * (255 / max(highest - lowest, 1e-9)))
    if picture.has_transparency_data:
        # Ink on nothing: what lies behind it is white, or black if the ink is light.
        picture = picture.convert("RGBA")
        alpha = picture.getchannel("A")
        is_seen = alpha.getextrema()[1] > 0
        ink = ImageStat.Stat(picture.convert("L"), mask=alpha).mean[0] if is_seen else 0
        paper = Image.new("RGBA", picture.size, "white" if ink < 128 else "black")
        picture = Image.alpha_composite(paper, picture)
    # Yellow ink on white paper is hardly darker, but differs in blue: the band in which the
    # picture varies most shows the ink best.
    bands = picture.convert("RGB").split()
    return max(bands, key=lambda band: ImageStat.Stat(band).stddev[0])


def find_digit(page):
    """Return the ink of the page's digit, cut out: float32 [height, width], 0 to 1."""
    # The strokes of a digit that fills the picture are up to a third of it wide. Where that
    # search fails, a finer one sees a small digit between wide shadows, or on a page on a
    # table: not in a small picture, which shows little else than the digit.
    try:
        return separate_ink(find_closeup(page, 1 / 3))
    except NoDigit:
        if max(page.size) < PAGE / 2:
            raise
        return separate_ink(find_closeup(page, 1 / 8))


def find_closeup(page, max_width):
    """Return the digit's surroundings, a part of the page.

    Its strokes are narrower than `max_width`, a fraction of the page's longer side.
    """
    levels = reduce(page, PAGE)
    longest = max(levels.shape)
    # The blur keeps specks and noise out; uint8 is for speed.
    levels = (blur(levels, longest / 400) * 255).astype(np.uint8)
    box = choose_digit(find_details(levels, max(3, round(longest * max_width))))
    factor = max(page.size) / longest
    return crop(page, [side * factor for side in box], margin=0.25)


def find_details(levels, max_width):
    """Return the boxes of the page's details: what is narrower than `max_width`.

    Dark or light ink is, but neither a shade nor what the paper lies on. Raises NoDigit if
    there are none.
    """
    detail = (255 - opening(255 - levels, max_width) - opening(levels, max_width)) / 255
    strongest = detail.max()
    if strongest < MIN_CONTRAST:
        raise NoDigit("the page is empty")
    boxes = find_pieces(detail > strongest / 2)
    # What reaches the edge of the picture is a shadow, the table or a neighbour's half,
    # unless there is nothing else: then the digit was cut out closely.
    height, width = levels.shape
    inside = [box for box in boxes if min(box[:2]) > 0 and box[2] < width and box[3] < height]
    is_worth_it = inside and max(map(longer_side, inside)) > max(levels.shape) / 30
    return inside if is_worth_it else boxes


def choose_digit(boxes):
    """Return the box of the one digit that these boxes of pieces belong to.

    The largest piece is the digit. What is nearer to it than a fifth of its size belongs to
    it, such as the bar of a 5, unless it stands beside it and is more than half as tall.
    Of the rest, what is smaller than a third of it is dirt. Raises NoDigit if more is left.
    """
    digit, *others = sorted(boxes, key=longer_side, reverse=True)
    size = longer_side(digit)
    others = [box for box in others if longer_side(box) > size / 8]
    is_growing = True
    while is_growing:
        parts = [box for box in others if is_part(box, digit, size)]
        others = [box for box in others if box not in parts]
        for box in parts:
            digit = (*map(min, digit[:2], box[:2]), *map(max, digit[2:], box[2:]))
        is_growing = bool(parts)
    others = [box for box in others if longer_side(box) > size / 3]
    if len(others) > 9:
        raise NoDigit("no digit stands out from the background")
    if others:
        raise NoDigit(f"there are several digits ({len(others) + 1} large pieces); show one")
    return digit


def is_part(box, digit, size):
    beside = max(box[0] - digit[2], digit[0] - box[2])
    above = max(box[1] - digit[3], digit[1] - box[3])
    is_near = max(beside, above) < size / 5
    is_tall = box[3] - box[1] > (digit[3] - digit[1]) / 2
    return is_near and not (is_tall and beside >= 0)


def longer_side(box):
    return max(box[2] - box[0], box[3] - box[1])


def crop(page, box, margin):
    """Return the box of the page and a margin, a fraction of its longer side, around it."""
    left, top, right, bottom = box
    margin *= longer_side(box)
    return page.crop(
        (
            max(0, math.floor(left - margin)),
            max(0, math.floor(top - margin)),
            min(page.width, math.ceil(right + margin)),
            min(page.height, math.ceil(bottom + margin)),
        )
    )


def reduce(page, longest):
    """Return the page's levels, 0 to 1, its longer side reduced to so many pixels or fewer."""
    factor = longest / max(page.size)
    if factor < 1:
        size = [max(1, round(side * factor)) for side in page.size]
        page = page.resize(size, Image.Resampling.BOX)  # the mean, which also evens out noise
    return np.asarray(page, dtype=np.float32) / 255


def blur(levels, radius):
    """Return each pixel's mean over the square that reaches `radius` pixels (rounded) around it."""
    return ndimage.uniform_filter(levels, 2 * round(radius) + 1, mode="nearest")


def separate_ink(closeup):
    """Return how much ink each pixel of a digit has, 0 to 1, cut out of its surroundings."""
    levels = reduce(closeup, CLOSEUP)
    longest = max(levels.shape)
    levels = blur(levels, longest / 160)
    # Most of the picture is paper. So the median is paper, and the mean lies where ink is:
    # in MNIST, ink is light.
    if levels.mean() < np.median(levels):
        levels = -levels
    levels = levels - opening(levels, max(3, longest // 2))  # all paper is now as dark: 0
    if levels.max() < MIN_CONTRAST:
        raise NoDigit("no digit stands out from the background")
    threshold, clearness = divide(levels)
    if clearness < MIN_CLEARNESS:
        raise NoDigit("no digit stands out from the background")
    is_ink = levels > threshold
    paper, ink = np.median(levels[~is_ink]), np.median(levels[is_ink])
    # The scans that MNIST was made from were black and white. So a level is either: all but
    # those near the middle, an edge's, for smooth edges also where a digit is small.
    share = (levels - paper) / (ink - paper)
    ink = ((share - 0.3) / 0.4).clip(0, 1)
    left, top, right, bottom = choose_digit(find_pieces(ink > 0.5))
    digit = np.ascontiguousarray(ink[top:bottom, left:right])
    if get_stroke_width(digit) > THICKEST:
        raise NoDigit("no digit stands out from the background")
    return digit


def get_stroke_width(digit):
    """Return the mean width of a digit's strokes, in pixels of the 28."""
    # A stroke has an edge on either side, and an edge's length is the sum of its gradient.
    down, right = np.gradient(np.pad(digit, 1))
    return 2 * digit.sum() / np.hypot(down, right).sum() * BOX / max(digit.shape)


def thicken(digit):
    """Return the digit with strokes at least as thick as MNIST's thinner ones.

    LeCun's description has no such step; but a large digit in ballpoint would be a grey hair in
    a box of 20 pixels.
    """
    missing = round((THINNEST - get_stroke_width(digit)) * max(digit.shape) / BOX)
    if missing < 1:
        return digit
    margins = missing // 2, missing - missing // 2
    return ndimage.maximum_filter(np.pad(digit, margins), missing + 1)


def fit_into_box(digit):
    """Scale to a longer side of 20 pixels; the means of the pixels make the grey levels."""
    factor = BOX / max(digit.shape)
    height, width = (max(1, round(side * factor)) for side in digit.shape)
    resized = Image.fromarray(digit).resize((width, height), Image.Resampling.BOX)
    return transforms.functional.to_tensor(resized)[0]


def center(digit):
    """Place a digit [height, width] so that its centre of mass is the middle of [1, 28, 28].

    The middle is pixel 14, half a pixel right of and below the picture's own: so it is in
    MNIST.
    """
    height, width = digit.shape
    row = digit.sum(dim=1) @ torch.arange(height, dtype=torch.float32) / digit.sum()
    column = digit.sum(dim=0) @ torch.arange(width, dtype=torch.float32) / digit.sum()
    top = min(max(0, round(CENTER - row.item())), 28 - height)
    left = min(max(0, round(CENTER - column.item())), 28 - width)
    image = torch.zeros(1, 28, 28)
    image[0, top : top + height, left : left + width] = digit
    return image


class Answer(NamedTuple):
    """What a network answers to a picture, and what its neurons did."""

    outputs: torch.Tensor  # float32 [10], 0 to 1: sigmoids, or the softmax of linear outputs
    hidden: torch.Tensor  # float32 [M], the activations of the last hidden layer
    features: torch.Tensor | None  # float32 [20, 24, 24], the first convolution's maps

    def __str__(self):
        (value, next_value), (digit, next_digit) = self.outputs.topk(2)
        return f"{digit} (output {value:.3f}; next is {next_digit} with {next_value:.3f})"


def load_network(file, design=None):
    """Return the saved network and whether its inputs are normalised; see `load_any_network`."""
    try:
        return load_any_network(file, design)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}; python pytorch_mnist.py --save-model {file} makes one in a minute or two"
        ) from None


@torch.no_grad()
def look(net, image, normalize=False):
    """Show a network an image [1, 28, 28] of `to_mnist`; return its Answer."""
    seen = {}

    def keep(module, inputs):
        seen.setdefault(module, inputs[0][0])  # of two poolings, the first

    is_dense = isinstance(net, Net)
    layers = [net.output_layer] if is_dense else [net.output_layer, net.pool]
    hooks = [layer.register_forward_pre_hook(keep) for layer in layers]
    try:
        outputs = net(prepare(image[None], is_dense, normalize))[0]
    finally:
        for hook in hooks:
            hook.remove()
    return Answer(
        outputs if is_dense else outputs.softmax(dim=0),
        seen[net.output_layer],
        None if is_dense else seen[net.pool],
    )


def prepare(images, is_dense, normalize):
    """Return images [N, 1, 28, 28] as a network's input, prepared as its training images were."""
    if normalize:
        images = common.normalized_transformations.transforms[1](images)
    return images.reshape(len(images), INPUT_SIZE) if is_dense else images


def open_picture(file):
    """Return a file's picture. Raises OSError, with the path, for what Pillow can't read."""
    try:
        picture = Image.open(file)
        picture.load()
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {file}") from None
    except Exception as error:  # a damaged file can make the readers raise anything
        raise OSError(f"can't be read as a picture ({error})") from error
    return picture


def recognize_files(files, net, normalize):
    """Print a line for each file; return (picture, image, Answer or message) of each."""
    results = []
    for file in files:
        picture = image = None
        try:
            picture = open_picture(file)
            image = to_mnist(picture)
            answer = look(net, image, normalize)
        except (OSError, NoDigit) as error:
            answer = f"no answer: {error}"
        print(f"{file}: {answer}", flush=True)
        results.append((picture, image, answer))
    return results


def draw(figure, files, results):
    """Draw a row for each picture: what was given, what the network sees, its ten outputs."""
    all_axes = figure.subplots(len(results), 3, squeeze=False)
    for axes, file, (picture, image, answer) in zip(all_axes, files, results, strict=True):
        given, seen, outputs = axes
        for side in (given, seen):
            side.set_axis_off()
        given.set_title(file)
        outputs.set_title(answer, wrap=True)
        if picture is not None:
            given.imshow(reduce(to_grey(picture), PAGE), cmap="gray", vmin=0, vmax=1)
        if image is not None:
            seen.imshow(image[0].numpy(), cmap="gray", vmin=0, vmax=1)
            seen.set_title("what the network sees")
            outputs.bar(range(OUTPUT_SIZE), answer.outputs.numpy())
        outputs.set_xticks(range(OUTPUT_SIZE))
        outputs.set_ylim(0, 1)


def create_parser():
    parser = command_line.OneLineParser(
        description="Recognise handwritten digits in pictures, or in a window to draw in.",
        allow_abbrev=False,
    )
    parser.add_argument("model", metavar="MODEL", nargs="?", help="a file of --save-model")
    parser.add_argument("pictures", metavar="PICTURE", nargs="*", help="(default: draw one)")
    parser.add_argument("--out", metavar="FILE", help="draw what was seen: a PNG, with PICTURE")
    parser.add_argument("--browser", action="store_true", help="the window, in a web browser")
    add_network_flags(parser)
    return parser


def main():
    settings = create_parser().parse_intermixed_args()
    torch.set_num_threads(1)  # the fastest for one image
    if settings.model is None:
        raise ValueError(
            "which network? python pytorch_mnist.py --save-model dense.pt makes one in a "
            "minute or two; then: python recognize.py dense.pt PICTURE..."
        )
    if settings.out is not None:
        # A PNG only, lest a slip of the hand replace the model or a picture's original.
        pictures = map(atomic.resolve, settings.pictures)
        if not settings.out.lower().endswith(".png") or atomic.resolve(settings.out) in pictures:
            raise ValueError(f"--out writes a new PNG, and not to {settings.out}")
        if not settings.pictures:
            raise ValueError("--out needs a PICTURE")
        atomic.check_writable(settings.out)
    net, normalized = load_network(settings.model, settings.net)
    normalize = normalized or settings.normalize

    if not settings.pictures:
        from handwriting import window

        window.show(to_mnist, lambda image: look(net, image, normalize), settings.browser)
        return
    results = recognize_files(settings.pictures, net, normalize)
    if settings.out is not None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(12, 3.5 * len(results)), layout="constrained")
        draw(figure, settings.pictures, results)
        atomic.write(settings.out, lambda stream: figure.savefig(stream, format="png"))
    if any(isinstance(answer, str) for *_, answer in results):
        sys.exit(1)


if __name__ == "__main__":
    command_line.run(main)
