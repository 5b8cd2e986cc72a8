"""A window to draw digits in, which shows at every stroke what the network makes of them."""

import math
import time

import numpy as np
import torch
from matplotlib import pyplot
from matplotlib.widgets import Button
from PIL import Image, ImageDraw
from torchvision.utils import make_grid

from common import RefusedError

SIDE = 280  # pixels of the drawing
PEN = 22  # pixels: the width of a stroke, about MNIST's in a drawing that fills two thirds
PAPER, INK = 255, 0
BLANK = torch.zeros(1, 28, 28)
CLEAR_KEYS = ("c", "escape", "delete")
BACKENDS_WITHOUT_WINDOWS = {"agg", "cairo", "pdf", "pgf", "ps", "svg", "template"}


class Window:
    """The drawing, the 28x28 that the network sees, its hidden neurons and its ten outputs.

    `predict` and `describe` are those of `recognize.py`. Of several digits, the last one of the
    last line is shown. Only what changes is drawn again (matplotlib's "blitting"): drawing the
    whole figure would take longer than a stroke may.
    """

    def __init__(self, figure, network, predict, describe):
        self.figure, self.predict, self.describe = figure, predict, describe
        self.network, self.activations = network, watch(network.net)
        self.pen = None  # where it was last, while the mouse button is held
        self.time_of_update = self.cost_of_update = 0.0  # seconds
        self.background = None

        axes = figure.subplot_mosaic(
            [
                ["drawing", "seen", "hidden"],
                ["drawing", "outputs", "outputs"],
                ["clear", "verdict", "verdict"],
            ],
            width_ratios=[2, 1, 1],
            height_ratios=[5, 5, 0.8],
        )
        self.drawing_axes = axes["drawing"]
        axes["drawing"].set_title("draw a digit here with the mouse; c clears it")
        axes["seen"].set_title("what the network sees")
        axes["outputs"].set_title("the ten outputs")
        for name in ("drawing", "seen", "hidden"):
            axes[name].set(xticks=[], yticks=[])
        axes["outputs"].set(xticks=range(10), ylim=(0, 1))

        def show(name, levels):
            return axes[name].imshow(to_rgb(levels), interpolation="nearest", animated=True)

        network(BLANK[None])
        title = "the feature maps" if "features" in self.activations else "the hidden neurons"
        axes["hidden"].set_title(title)
        self.paper = show("drawing", np.ones((SIDE, SIDE)))
        self.seen = show("seen", np.zeros((28, 28)))
        self.hidden = show("hidden", lay_out(self.activations))
        self.bars = axes["outputs"].bar(range(10), [0] * 10, animated=True)
        axes["verdict"].set_axis_off()
        self.verdict = axes["verdict"].text(
            0.5, 0.3, "", ha="center", va="center", fontsize=14, animated=True
        )
        frame = axes["drawing"].spines.values()  # of which the paper covers a half
        self.artists = [self.paper, *frame, self.seen, self.hidden, *self.bars, self.verdict]
        self.button = Button(axes["clear"], "clear")
        self.button.on_clicked(lambda event: self.clear())

        connect = figure.canvas.mpl_connect
        connect("button_press_event", self.on_press)
        connect("motion_notify_event", self.on_move)
        connect("button_release_event", self.on_release)
        connect("key_press_event", lambda event: event.key in CLEAR_KEYS and self.clear())
        connect("draw_event", self.on_draw)
        self.clear()

    def clear(self):
        """Begin with an empty sheet."""
        self.picture = Image.new("L", (SIDE, SIDE), PAPER)
        self.is_empty = True
        self.update()

    def on_press(self, event):
        if event.button == 1 and event.inaxes is self.drawing_axes:
            self.pen = (event.xdata, event.ydata)
            self.draw_stroke(self.pen)

    def on_move(self, event):
        if self.pen is None or event.inaxes is not self.drawing_axes:
            return
        self.draw_stroke((event.xdata, event.ydata))
        # A mouse reports faster than a network looks: at most half the time is spent on
        # looking, so that the line never falls behind the mouse.
        if time.perf_counter() - self.time_of_update > self.cost_of_update:
            self.update()

    def on_release(self, event):
        if self.pen is not None:
            self.pen = None
            self.update()

    def draw_stroke(self, point):
        """Draw a line with round ends from where the pen was."""
        draw = ImageDraw.Draw(self.picture)
        draw.line([self.pen, point], fill=INK, width=PEN)
        for x, y in (self.pen, point):
            radius = PEN / 2
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=INK)
        self.pen = point
        self.is_empty = False

    def update(self):
        """Have the network read the drawing, and show it all."""
        start = time.perf_counter()
        self.paper.set_data(np.asarray(self.picture.convert("RGB")))
        last, verdict = None, ""
        if not self.is_empty:
            try:
                page = self.predict(self.network, self.picture)
                last, verdict = page[-1][-1], self.describe(page)
            except RefusedError as error:
                verdict = str(error)
        image = BLANK if last is None else last.image
        self.network(image[None])  # for its activations
        self.seen.set_data(to_rgb(image[0].numpy()))
        self.hidden.set_data(to_rgb(lay_out(self.activations)))
        for digit, bar in enumerate(self.bars):
            bar.set_height(0 if last is None else float(last.outputs[digit]))
        self.verdict.set_text(verdict)
        self.refresh()
        self.time_of_update = time.perf_counter()
        self.cost_of_update = self.time_of_update - start

    def refresh(self):
        if self.background is not None:
            self.figure.canvas.restore_region(self.background)
            self.draw_artists()
            self.figure.canvas.blit(self.figure.bbox)

    def on_draw(self, event):
        """Keep what never changes as a picture, after the figure was drawn or resized."""
        self.background = self.figure.canvas.copy_from_bbox(self.figure.bbox)
        self.draw_artists()

    def draw_artists(self):
        for artist in self.artists:
            self.figure.draw_artist(artist)


def to_rgb(levels):
    """Return levels, 0 to 1, as matplotlib draws them fastest: uint8 [height, width, 3]."""
    return np.repeat((levels * 255).astype(np.uint8)[..., None], 3, axis=2)


def watch(net):
    """Return a dict that holds, after each pass, the net's "hidden" activations [M].

    And the "features" [maps, height, width] of its first convolution, if it begins with one.
    """
    activations = {}
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Linear | torch.nn.Conv2d)]

    def keep_hidden(layer, inputs):
        activations["hidden"] = inputs[0][0].detach().clamp(min=0)

    def keep_features(layer, inputs, output):
        activations["features"] = output[0].detach().clamp(min=0)

    layers[-1].register_forward_pre_hook(keep_hidden)
    if isinstance(layers[0], torch.nn.Conv2d):
        layers[0].register_forward_hook(keep_features)
    return activations


def lay_out(activations):
    """Lay out activations or feature maps as one image, the strongest 1."""
    are_maps = "features" in activations
    cells = activations["features"] if are_maps else activations["hidden"].reshape(-1, 1, 1)
    columns = math.ceil(math.sqrt(len(cells)))
    (levels, *_) = make_grid(cells.unsqueeze(1), nrow=columns, padding=2 if are_maps else 0)
    return levels.numpy() / max(levels.max().item(), 1e-6)


def has_windows():
    """Say whether matplotlib draws in windows: not just in files, or in a notebook's cells."""
    backend = pyplot.get_backend().lower()
    is_notebook = any(name in backend for name in ("inline", "ipympl", "widget"))
    return not is_notebook and backend not in BACKENDS_WITHOUT_WINDOWS


def show(network, predict, describe, in_browser):
    """Open the window, on the screen or in a web browser, and wait until it is closed.

    Raises RefusedError where neither can be had.
    """
    if in_browser:
        pyplot.switch_backend("webagg")
        # Only this machine's own browser gets in.
        pyplot.rcParams["webagg.address"] = "127.0.0.1"
        pyplot.rcParams["webagg.open_in_browser"] = False  # print the address instead
    elif not has_windows():
        raise RefusedError(
            "there is no display to open a window on; --browser opens it in a web browser, and "
            "with a PICTURE none is needed: --out FILE.png draws what was seen"
        )
    pyplot.rcParams["toolbar"] = "None"
    for name in pyplot.rcParams.find_all("^keymap"):  # such as l for logarithmic axes
        pyplot.rcParams[name] = []
    figure = pyplot.figure("recognize.py", figsize=(11, 6), layout="constrained")
    window = Window(figure, network, predict, describe)  # noqa: F841 (listens to the mouse)
    pyplot.show()
