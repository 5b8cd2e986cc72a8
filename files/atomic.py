"""Files that are written whole or not at all: another program never sees a half of one."""

import contextlib
import os
from pathlib import Path


def check_writable(file):
    """Raise OSError if `file` can't be written, before hours of training depend on it."""
    file = resolve(file)
    if not file.parent.is_dir():
        raise FileNotFoundError(f"can't save to {file}: there is no folder {file.parent}")
    if file.exists() and not file.is_file():
        raise OSError(f"can't save to {file}: it exists and is not a regular file")
    temporary_file = _get_temporary_file(file)
    try:
        temporary_file.touch()
        temporary_file.unlink()
    except OSError as error:
        raise OSError(f"can't save to {file}: {error.strerror}") from error


def write(file, save):
    """Have `save(stream)` write the content of `file`, which replaces it: atomically, durably.

    Raises OSError if that fails; what was there before is then untouched.
    """
    check_writable(file)
    file = resolve(file)
    temporary_file = _get_temporary_file(file)
    try:
        with open(temporary_file, "wb") as stream:
            save(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary_file, file)
        _sync_folder(file.parent)
    except (OSError, RuntimeError) as error:  # torch.save may say either when the disk is full
        raise OSError(f"can't save to {file}: {error}") from error
    finally:
        temporary_file.unlink(missing_ok=True)


def write_text(file, text):
    """Replace the content of `file` by this text, as `write` does."""
    write(file, lambda stream: stream.write(text.encode()))


def resolve(file):
    """Return the absolute path of a file that a user named."""
    return Path(file).expanduser().resolve()


def _get_temporary_file(file):
    return file.with_name(f".{file.name}.tmp")


def _sync_folder(folder):
    # The new name is durable when its folder is. Windows can't open a folder.
    with contextlib.suppress(PermissionError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
