"""Trained networks, read from their files: from images to ten outputs."""

import contextlib
import importlib
import re
from pathlib import Path

import torch
from torch import nn

import common
from common import RefusedError
from files import states

PROJECT = Path(__file__).resolve().parent.parent

# The networks that a file may be of that doesn't say it, by the names of `--net`.
NETWORKS = {
    "dense": "pytorch_mnist.Net",
    "simple": "pytorch_mnist_convnet.ConvNetSimple",
    "2conv": "pytorch_mnist_convnet.ConvNetTwoConv",
    "relu": "pytorch_mnist_convnet.ConvNetTwoConvRelu",
    "final": "pytorch_mnist_convnet.ConvNetFinal",
}


# The losses, as their names stand in descriptions, of networks whose outputs need a softmax.
SOFTMAX = r"\b(CrossEntropyLoss|NLLLoss|cross_entropy|nll_loss)\b"


class TrainedNetwork:
    """A trained network with what belongs before and behind it: from images to ten outputs.

    Called with images, float32 [N, 1, 28, 28] from 0 (black) to 1 (white), it returns float32
    [N, 10]. `softmax` is for networks that end in linear outputs, `normalize` for those that were
    trained on normalised inputs. A network gets rows [N, 784] if its first layer is a `Linear` of
    them, or if it can't take images; each gets its own dtype, on its own device. Raises
    RefusedError for integer images, and for other outputs.
    """

    def __init__(self, net, *, softmax=False, normalize=False):
        self.net = net.eval()
        self.softmax = softmax
        self.normalize = normalize

    @torch.no_grad()
    def __call__(self, images):
        if not images.is_floating_point():
            raise RefusedError(f"images must be from 0.0 to 1.0, not {images.dtype}: divide by 255")
        inputs = images
        if self.normalize:
            inputs = common.normalized_transformations.transforms[1](inputs)
        inputs = inputs.to(next(self.net.parameters(), inputs))
        outputs = self._compute(inputs)
        if getattr(outputs, "shape", None) != (len(images), 10):
            raise RefusedError(
                f"the network gives {getattr(outputs, 'shape', type(outputs))} for {len(images)} "
                f"images, not [{len(images)}, 10]"
            )
        outputs = outputs.to(images)
        return outputs.softmax(dim=1) if self.softmax else outputs

    def _compute(self, images):
        rows = images.flatten(start_dim=1)
        is_dense = isinstance(find_first_layer(self.net), nn.Linear)
        likely, unlikely = (rows, images) if is_dense else (images, rows)
        try:
            return self.net(likely)
        except Exception:  # what a layer raises for a shape depends on the layer
            with contextlib.suppress(Exception):
                return self.net(unlikely)
            raise


def find_first_layer(net):
    """Return the `Linear` or `Conv2d` layer that sees the 784 pixels, or None."""
    for module in net.modules():
        is_dense = isinstance(module, nn.Linear) and module.in_features == 28 * 28
        if is_dense or isinstance(module, nn.Conv2d):
            return module
    return None


def load(file, network=None):
    """Return the `TrainedNetwork` in a file of `--save-model` or `--checkpoint`.

    `network`, one of NETWORKS, tells which it is where the file doesn't. Raises RefusedError if
    there is no such file, or if it is damaged or holds something else.
    """
    state, description = states.read_state(file)
    if description is None:
        description = _guess(state, network, file)
    if not _is_description(description):
        raise RefusedError(f"{file} doesn't say which network it holds, and for which loss")
    _check_fits(description, state, file)
    with torch.device("cpu"):  # where images are read, whatever the default device is
        net = states.load_state(_create(description, file), state, file)
    return TrainedNetwork(
        net,
        softmax=re.search(SOFTMAX, description["loss"]) is not None,
        normalize="Normalize" in description["transform"],
    )


def _is_description(content):
    return (
        isinstance(content, dict)
        and all(isinstance(content.get(name), str) for name in ("network", "loss", "transform"))
        and isinstance(content.get("arguments", {}), dict)
    )


def _check_fits(description, state, file):
    with torch.device("meta"):  # which takes no memory, whatever the size
        try:
            net = _create(description, file)
        except RefusedError as error:
            if isinstance(error.__cause__, RuntimeError):  # numbers are read of what has none here
                return
            raise
        states.check_fits(net, state, file)


def _create(description, file):
    """Return an untrained network as described; its class is looked for beside the scripts."""
    module, _, name = description["network"].rpartition(".")
    if Path(module).name != module or not (PROJECT / f"{module}.py").is_file():
        raise RefusedError(
            f"{file} holds a network of the class {description['network']}, which is not in a "
            "script of this folder; in Python, show.show(net) shows any network"
        )
    network = getattr(importlib.import_module(module), name, None)
    if not (isinstance(network, type) and issubclass(network, nn.Module)):
        raise RefusedError(f"{file} holds a network {name}, but {module}.py has no such class")
    arguments = description.get("arguments", {})
    try:
        return network(**arguments)
    except Exception as error:  # a class may raise anything
        raise RefusedError(f"{file} holds a network {name} of {arguments}: {error}") from error


def _guess(state, network, file):
    """Return the description of the network in NETWORKS that the state fits."""
    hidden = next((state[key] for key in state if key.endswith("hidden_layer.bias")), None)
    fitting = []
    for name in NETWORKS if network is None else [network]:
        is_dense = name == "dense"
        description = {
            "network": NETWORKS[name],
            "arguments": {"hidden_size": len(hidden)} if is_dense and hidden is not None else {},
            "loss": "MSELoss()" if is_dense else "CrossEntropyLoss()",
            # as files of earlier versions say it
            "transform": "Normalize" if states.get_notes(state).get("normalized") else "",
        }
        try:
            _check_fits(description, state, file)
            fitting.append((name, description))
        except RefusedError:
            if network is not None:
                raise
    if not fitting:
        raise RefusedError(
            f"{file} holds a network that is none of {', '.join(NETWORKS)}; in Python, "
            "show.show(net) shows any network"
        )
    if len(fitting) > 1:
        names = " or a ".join(name for name, _ in fitting)
        raise RefusedError(f"{file} holds a {names} network, which look alike: say which by --net")
    return fitting[0][1]
