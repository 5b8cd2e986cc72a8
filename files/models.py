"""Trained networks, read from their files: from images to ten outputs."""

import importlib
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


class TrainedNetwork:
    """A trained network with what belongs before and behind it: from images to ten outputs.

    Called with images, float32 [N, 1, 28, 28] from 0 (black) to 1 (white), it returns float32
    [N, 10], from 0 to 1. `softmax` is for networks that end in linear outputs, `normalize`
    for those that were trained on normalised inputs. A network whose first layer is a
    `Linear(784, ...)` gets rows [N, 784]; any network gets its own dtype, on its own device.
    """

    def __init__(self, net, *, softmax=False, normalize=False):
        self.net = net.eval()
        self.softmax = softmax
        self.normalize = normalize

    @torch.no_grad()
    def __call__(self, images):
        inputs = images
        if self.normalize:
            inputs = common.normalized_transformations.transforms[1](inputs)
        if isinstance(find_first_layer(self.net), nn.Linear):
            inputs = inputs.flatten(start_dim=1)
        inputs = inputs.to(next(self.net.parameters(), inputs))
        outputs = self.net(inputs).to(images)
        return outputs.softmax(dim=1) if self.softmax else outputs


def find_first_layer(net):
    """Return the `Linear` or `Conv2d` layer that sees the 784 pixels, or None."""
    first = next((m for m in net.modules() if isinstance(m, nn.Linear | nn.Conv2d)), None)
    return None if isinstance(first, nn.Linear) and first.in_features != 784 else first


def load(file, network=None):
    """Return the `TrainedNetwork` in a file of `--save-model` or `--checkpoint`.

    `network`, one of NETWORKS, tells which it is where the file doesn't. Raises RefusedError if
    there is no such file, or if it is damaged or holds something else.
    """
    content = states.read(file)
    if isinstance(content, dict) and states.is_state(content.get("model")):  # a checkpoint
        state, description = content["model"], content.get("settings")
    else:
        state, description = content, None
    state = states.check_state(state, file)
    said = getattr(state, "_metadata", {}).get("", {})
    if description is None:
        description = said.get("description")
    if description is None:
        description = _guess(state, network, file)
        description["transform"] = "Normalize" if said.get("normalized") else ""  # as it once was
    if not _is_description(description):
        raise RefusedError(f"{file} doesn't say which network it holds, and for which loss")
    _check_fits(description, state, file)
    with torch.device("cpu"):  # where images are read, whatever the default device is
        net = states.load_state(_create(description, file), state, file)
    return TrainedNetwork(
        net,
        softmax=description["loss"].startswith(("CrossEntropyLoss", "NLLLoss")),
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
        states.check_fits(_create(description, file), state, file)


def _create(description, file):
    """Return an untrained network as described; its class is looked for beside the scripts."""
    module, _, name = description["network"].rpartition(".")
    if not module.isidentifier() or not (PROJECT / f"{module}.py").is_file():
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
    except (TypeError, ValueError, RuntimeError) as error:
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
            "transform": "",
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
