"""Saved networks: what PyTorch calls a `state_dict`, tensors by the names of a network's own."""

import io
import pickle
import zipfile

import torch
from torch.nn.modules.utils import consume_prefix_in_state_dict_if_present

from files import atomic


def save_model(model, file, *, normalized=False):
    """Write the model's `state_dict`, as CPU tensors, to `file`, replacing it atomically.

    `normalized` says that the network was trained on normalised inputs: it is noted where a
    `state_dict` keeps its version numbers, so that the file still loads everywhere. Raises
    OSError if `file` can't be written; what was there before is then untouched.
    """
    state = model.state_dict()
    for name, value in state.items():
        state[name] = value.cpu()
    if normalized:
        state._metadata[""]["normalized"] = True
    write(state, file)


def is_normalized(state):
    """Say whether a state that `read_state` returned is of a network with normalised inputs."""
    return getattr(state, "_metadata", {}).get("", {}).get("normalized", False)


def check_replaceable(file):
    """Raise OSError if `file` can't be written, or holds anything but a saved network."""
    atomic.check_writable(file)
    file = atomic.resolve(file)
    if file.exists():
        try:
            is_model = _is_state(read(file))
        except ValueError:
            is_model = False
        if not is_model:
            raise OSError(f"{file} exists and is not a saved network; give another name")


def load_network(network, file):
    """Load the `state_dict` in `file` into the network; return the network.

    A checkpoint's network is taken, too. Raises OSError if there is no such file, ValueError if it
    is damaged, or holds something else or another network; `network` is then unchanged.
    """
    return fill(network, read_state(file), file)


def read_state(file):
    """Return the `state_dict` in `file`. Raises OSError or ValueError, with the path."""
    state = read(file)
    if isinstance(state, dict) and _is_state(state.get("model")):  # a checkpoint
        state = state["model"]
    if not _is_state(state):
        raise ValueError(f"{file} holds no network's state_dict, as --save-model writes it")
    consume_prefix_in_state_dict_if_present(state, "module.")  # of DataParallel
    return state


def _is_state(content):
    return (
        isinstance(content, dict)
        and bool(content)
        and all(isinstance(name, str) and torch.is_tensor(content[name]) for name in content)
    )


def fill(model, state, file):
    """Load a `state_dict` into the model; return it. Raises ValueError, naming what differs."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    found = {name: list(value.shape) for name, value in state.items()}
    for name in shapes | found:
        if found.get(name) != shapes.get(name):
            raise ValueError(
                f"{file} holds another network than {type(model).__name__}: there, {name} has "
                f"the shape {found.get(name)}, not {shapes.get(name)}"
            )
    model.load_state_dict(state)
    return model


def write(content, file):
    """Write tensors and plain values to `file`: atomically, and durably. Raises OSError."""
    buffer = io.BytesIO()  # so that a full disk is the system's error, not PyTorch's
    torch.save(content, buffer)
    atomic.write(file, lambda stream: stream.write(buffer.getbuffer()))


def read(file):
    """Return the tensors and plain values that `torch.save` wrote, in any format since 1.0.

    Raises OSError or ValueError, with the path.
    """
    file = atomic.resolve(file)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    content = io.BytesIO(file.read_bytes())  # from here on, what goes wrong is the content's fault
    try:
        if zipfile.is_zipfile(content):
            with zipfile.ZipFile(content) as archive:
                damaged = archive.testzip()  # the checksums, which torch.load doesn't look at
            if damaged is not None:
                raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        content.seek(0)
        return torch.load(content, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        if "global" not in str(error).lower():
            raise ValueError(f"{file} is damaged, or no file of PyTorch's") from error
        raise ValueError(
            f"{file} holds more than tensors and plain values, which could run any code when it "
            "is loaded; of a whole network, save the weights: torch.save(net.state_dict(), FILE)"
        ) from error
    except Exception as error:  # a damaged file can make the readers raise anything
        raise ValueError(f"{file} is damaged, or no file of PyTorch's") from error
