"""Trained networks on disk: written whole or not at all, and read only if they are whole."""

import zipfile

import torch

from files import atomic


def save_model(model, file):
    """Write the model's `state_dict`, as CPU tensors, to `file`, replacing it atomically.

    Raises OSError if `file` can't be written; what was there before is then untouched.
    """
    write({name: value.cpu() for name, value in model.state_dict().items()}, file)


def load_network(network, file):
    """Fill the network (an `nn.Module`) with what `save_model` wrote; return it.

    Raises OSError if there is no such file, ValueError if it is damaged, holds anything but
    tensors and plain values, or another network; `network` is then unchanged.
    """
    state = read(file)
    if not isinstance(state, dict) or not all(map(torch.is_tensor, state.values())):
        raise ValueError(f"{file} holds no network's state_dict, as --save-model writes it")
    fill(network, state, file)
    return network


def write(content, file):
    """Write tensors and plain values to `file`: atomically, and durably. Raises OSError."""
    atomic.write(file, lambda stream: torch.save(content, stream))


def read(file):
    """Return what `write` wrote. Raises OSError or ValueError, with the path."""
    file = atomic.resolve(file)
    if not file.is_file():
        raise FileNotFoundError(f"there is no file {file}")
    try:
        with zipfile.ZipFile(file) as archive:
            damaged = archive.testzip()  # the checksums, which torch.load doesn't look at
        if damaged is not None:
            raise zipfile.BadZipFile(f"the checksum of {damaged} is wrong")
        return torch.load(file, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception as error:  # a damaged file can make the readers raise anything
        raise ValueError(
            f"{file} is damaged, or holds more than tensors and plain values, and is left as "
            f"it is ({str(error).strip().splitlines()[0]})"
        ) from error


def fill(model, state, file):
    """Load a `state_dict` into the model. Raises ValueError, naming what differs."""
    shapes = {name: list(value.shape) for name, value in model.state_dict().items()}
    found = {name: list(value.shape) for name, value in state.items()}
    for name in shapes | found:
        if found.get(name) != shapes.get(name):
            raise ValueError(
                f"{file} holds another network than {type(model).__name__}: there, {name} has "
                f"the shape {found.get(name)}, not {shapes.get(name)}"
            )
    model.load_state_dict(state)
