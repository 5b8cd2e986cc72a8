"""Atomic writes: a file is replaced completely or not at all, whoever reads or writes it."""

import contextlib
import glob
import os
import secrets
from pathlib import Path


def check_writable(file):
    """Raise OSError if `file` can't be written, before hours of training depend on it."""
    file = _resolve_target(file)
    temporary_file = _get_temporary_file(file)
    try:
        temporary_file.touch()
        temporary_file.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(f"can't save to {file}: {error.strerror}") from error


def write(file, save):
    """Have `save(stream)` write the new content of `file`: atomically, durably.

    Raises OSError if that fails; what was there before is then untouched.
    """
    file = _resolve_target(file)
    temporary_file = _get_temporary_file(file)
    try:
        with open(temporary_file, "xb") as stream:
            save(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary_file, file)
        _sync_folder(file.parent)
    except OSError as error:
        raise OSError(f"can't save to {file}: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary_file.unlink()


def write_text(file, text):
    """Replace the content of `file` by this text, as `write` does."""
    write(file, lambda stream: stream.write(text.encode()))


def resolve(file):
    """Return the absolute path of a file that a user named."""
    return Path(file).expanduser().resolve()


def remove_leftovers(file):
    """Remove what killed writers of `file` left. Only for who knows that no other one writes it."""
    file = resolve(file)
    for leftover in file.parent.glob(f".{glob.escape(file.name)}.{'[0-9a-f]' * 16}.tmp"):
        leftover.unlink(missing_ok=True)


def _resolve_target(file):
    """Return the absolute path to write to. Raises OSError if no file can be there."""
    if not str(file) or str(file).endswith(("/", os.sep)):
        raise OSError(f"can't save to {str(file)!r}: that names no file")
    file = resolve(file)
    if not file.parent.is_dir():
        raise FileNotFoundError(f"can't save to {file}: there is no folder {file.parent}")
    if file.exists() and not file.is_file():
        raise OSError(f"can't save to {file}: it exists and is not a regular file")
    return file


def _get_temporary_file(file):
    # A name of its own for each write, so that two writers don't meet in one file.
    return file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")


def _sync_folder(folder):
    # The new name is durable when its folder is. Windows can't open a folder, and some disks can't
    # sync one; the file is in its place by now.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
