"""Files with the state of a network: its `state_dict`, the tensors by their names in the network.

A file that `save_model` writes also says, where a `state_dict` keeps its version numbers, which
network it is of, how its inputs were prepared, and for which loss it was trained. So it loads
everywhere, and here without further questions.
"""

import inspect
import io
import pickle
import re
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from common import RefusedError
from files import atomic

MAX_BYTES = 500_000_000  # of a file that is read; the largest network here takes 7 million


def describe(net, loss_function, transform):
    """Return what it takes to use the network again: a dict of plain values.

    `network` is its class, with the script that defines it, `arguments` what the class was
    called with: for each parameter of its `__init__`, the attribute of the same name, if that is
    a plain value.
    """
    net = unwrap(net)
    module = type(net).__module__
    if module == "__main__":
        module = Path(getattr(sys.modules[module], "__file__", module)).stem
    names = inspect.signature(type(net)).parameters
    arguments = {name: _read_attribute(net, name) for name in names}
    return {
        "network": f"{module}.{type(net).__qualname__}",
        "arguments": {name: value for name, value in arguments.items() if _is_plain(value)},
        "loss": re.sub(" at 0x[0-9a-fA-F]+", "", repr(loss_function)),  # as that of a function
        "transform": " ".join(str(transform).split()),
    }


def list_unknown_arguments(net):
    """Return the arguments of the network's class by which `describe` can't have it made again."""
    net = unwrap(net)
    if type(net).__module__.startswith("torch"):  # which is in no script, and not made again
        return []
    return [
        str(parameter.replace(annotation=parameter.empty, default=parameter.empty))
        for name, parameter in inspect.signature(type(net)).parameters.items()
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        or not _is_plain(_read_attribute(net, name))
    ]


def _read_attribute(net, name):
    value = getattr(net, name, print)  # which is not plain
    return value.item() if isinstance(value, np.generic) else value


def _is_plain(value):  # a layer, say, could not be read again
    if type(value) in (list, tuple, torch.Size):
        return all(map(_is_plain, value))
    return value is None or type(value) in (bool, int, float, str)


def unwrap(net):
    """Return the network that `torch.compile` and `DataParallel` have wrapped."""
    while True:
        if hasattr(net, "_orig_mod"):
            net = net._orig_mod
        elif isinstance(net, nn.DataParallel):
            net = net.module
        else:
            return net


def save_model(net, file, description):
    """Write the network's `state_dict`, as CPU tensors, to `file`, replacing it atomically.

    `description` is what `describe` returns. Raises RefusedError if `file` can't be written; what
    was there before is then untouched.
    """
    state = unwrap(net).state_dict()
    for name, value in state.items():
        state[name] = value.cpu()
    state._metadata[""]["description"] = description
    write(state, file)


def check_replaceable(file, net):
    """Raise RefusedError if `net` can't be saved in `file`, or that holds something else."""
    num_bytes = sum(value.numel() * value.element_size() for value in net.state_dict().values())
    atomic.check_writable(file, num_bytes)
    if atomic.resolve(file).exists():
        try:
            is_model = is_state(read(file))
        except RefusedError as error:
            if isinstance(error.__cause__, PermissionError):
                raise
            is_model = False
        if not is_model:
            raise RefusedError(f"{file} exists and is not a saved network; give another name")


def read_state(file):
    """Return the `state_dict` in a saved network or a checkpoint, and its description, or None.

    Raises RefusedError if there is no such file, or if it is damaged or holds something else.
    """
    content = read(file)
    if isinstance(content, dict) and is_state(content.get("model")):
        return content["model"], content.get("settings")
    if not is_state(content):
        raise RefusedError(f"{file} holds no network's state_dict, as --save-model writes it")
    return content, get_notes(content).get("description")


def get_notes(state):
    """Return what stands beside the version numbers of a `state_dict`."""
    return getattr(state, "_metadata", {}).get("", {})


def is_state(content):
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(name, str) and _is_dense(value) for name, value in content.items())
        and isinstance(versions := getattr(content, "_metadata", {}), dict)
        and all(isinstance(of_module, dict) for of_module in versions.values())
    )


def _is_dense(value):
    return (
        torch.is_tensor(value)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and not (value.is_nested or value.is_quantized or value.is_complex())
    )


def check_fits(net, state, file):
    """Raise RefusedError, naming what differs, unless the `state_dict` is of such a network."""
    inner = unwrap(net)
    shapes = {name: list(value.shape) for name, value in inner.state_dict().items()}
    for prefix in ("module.", "_orig_mod.") * 2:  # of DataParallel and torch.compile
        if state.keys() != shapes.keys():
            consume_prefix_in_state_dict_if_present(state, prefix)
    found = {name: list(value.shape) for name, value in state.items()}
    for name in shapes | found:
        if found.get(name) != shapes.get(name):
            raise RefusedError(
                f"{file} holds another network than {type(inner).__name__}: there, {name} has "
                f"the shape {found.get(name)}, not {shapes.get(name)}"
            )


def check_state(net, state, file):
    """Raise RefusedError unless the `state_dict` is of such a network, with finite parameters."""
    check_fits(net, state, file)
    parameters = dict(unwrap(net).named_parameters())
    for name, value in state.items():  # a buffer may be infinite: a mask, say
        is_wrong = ~value.double().isfinite() if name in parameters else value.isnan()
        if is_wrong.any():
            raise RefusedError(f"{file} holds numbers that are not finite, in {name}")


def load_state(net, state, file):
    """Load a `state_dict` into the network; return it. Raises what `check_state` does."""
    check_state(net, state, file)
    unwrap(net).load_state_dict(state)
    return net


def check_readable(content, file):
    """Raise RefusedError if what is to be written to `file` could not be read again."""
    buffer = io.BytesIO()
    try:
        torch.save(content, buffer)
        size = buffer.tell()
        buffer.seek(0)
        torch.load(buffer, map_location="cpu", weights_only=True)
    except Exception as error:  # each type has its own reason
        raise RefusedError(
            f"{file} could not be read again: only tensors and Python's own numbers, strings, "
            "lists and dicts can be kept there (x.item() makes such of NumPy's numbers)"
        ) from error
    if size > MAX_BYTES:
        raise RefusedError(f"{file} would be larger than {MAX_BYTES:,} bytes, and not read again")


def write(content, file):
    """Write tensors and plain values to `file`, atomically. Raises RefusedError."""
    buffer = io.BytesIO()  # so that a full disk is the system's error, not PyTorch's
    torch.save(content, buffer)
    atomic.write(file, lambda stream: stream.write(buffer.getbuffer()))


def read(file):
    """Return the tensors and plain values that `torch.save` wrote, in any format since 1.0.

    Raises RefusedError, with the path.
    """
    file = atomic.resolve(file)
    if not file.is_file():
        raise RefusedError(f"there is no file {file}")
    if file.stat().st_size > MAX_BYTES:
        raise RefusedError(f"{file} is larger than {MAX_BYTES:,} bytes: it is no network of ours")
    content = io.BytesIO(atomic.read(file))  # from here on, what goes wrong is the content's fault
    names = []
    try:
        if zipfile.is_zipfile(content):
            with zipfile.ZipFile(content) as archive:
                names = archive.namelist()
                damaged = archive.testzip()  # the checksums, which torch.load doesn't look at
            if damaged is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        content.seek(0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what matters is an error
            return torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can make the readers raise anything
        raise RefusedError(f"{file} {_explain(error, names, content)}") from error


def _explain(error, names, content):
    """Return what a file is that PyTorch doesn't load, as words that follow its name."""
    if any("/code/" in name for name in names):
        return "is a TorchScript program; save the weights: torch.save(net.state_dict(), FILE)"
    if any(name.endswith(("archive_format", "exported_program.json")) for name in names):
        return "is a program of torch.export; save the weights: torch.save(net.state_dict(), FILE)"
    if isinstance(error, pickle.UnpicklingError) and "global" in str(error).lower():
        return (
            "holds more than tensors and plain values, which could run any code when it is "
            "loaded; of a whole network, save the weights: torch.save(net.state_dict(), FILE)"
        )
    from PIL import Image

    try:
        Image.open(content)
    except Exception:
        return "is damaged, or no file of PyTorch's"
    return "is a picture, not a saved network"
