"""Trained models on disk: written whole or not at all."""

import os
from pathlib import Path

import torch


def check_writable(file):
    """Raise OSError if `file` can't be written, before hours of training depend on it."""
    file = Path(file).resolve()
    if not file.parent.is_dir():
        raise FileNotFoundError(f"can't save to {file}: there is no folder {file.parent}")
    if file.exists() and not file.is_file():
        raise OSError(f"can't save to {file}: it exists and is not a regular file")
    if not os.access(file.parent, os.W_OK):
        raise PermissionError(f"can't save to {file}: the folder {file.parent} is not writable")


def save_model(model, file):
    """Write the model's `state_dict`, as CPU tensors, to `file`, replacing it atomically.

    `model.load_state_dict(torch.load(file))` restores it. Raises OSError if `file` can't be
    written; what was there before is then untouched.
    """
    check_writable(file)
    file = Path(file).resolve()
    temporary_file = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        with open(temporary_file, "wb") as stream:
            torch.save({name: value.cpu() for name, value in model.state_dict().items()}, stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary_file, file)
    finally:
        temporary_file.unlink(missing_ok=True)
