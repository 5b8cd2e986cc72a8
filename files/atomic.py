"""Atomic writes: a file is replaced completely or not at all, whoever reads or writes it."""

import contextlib
import glob
import os
import secrets
import stat
import time
from pathlib import Path

from filelock import FileLock, Timeout

from common import RefusedError


def resolve(file):
    """Return the absolute path of a file that a user named."""
    return Path(file).expanduser().resolve()


def expand(names):
    """Return the files' names; for `*.csv`, which Windows' shells don't expand, all that match."""
    expanded = []
    for name in names:
        expanded += ("*" in name and sorted(glob.glob(name))) or [name]  # noqa: PTH207
    return expanded


def read(file):
    """Return the content of a file, bytes. Raises RefusedError if it can't be read."""
    try:
        return resolve(file).read_bytes()
    except OSError as error:  # such as "Permission denied", while another program has it open
        raise RefusedError(f"can't read {file}: {error.strerror or error}") from error


def check_writable(file, num_bytes=0):
    """Raise RefusedError if so many bytes can't be written to `file`, before hours depend on it."""
    with _explain(file):
        file = _resolve_target(file)
        temporary_file = _get_temporary_file(file)
        try:
            temporary_file.write_bytes(b"\0" * num_bytes)
            if file.exists():
                _replace(file, file)  # which changes nothing, but fails if it couldn't be replaced
        finally:
            _remove(temporary_file)


def write(file, save):
    """Have `save(stream)` write the new content of `file`; on the disk, it replaces the old one.

    Raises RefusedError if that fails; what was there before is then untouched.
    """
    with _explain(file):
        file = _resolve_target(file)
        temporary_file = _get_temporary_file(file)
        try:
            with open(temporary_file, "xb") as stream:
                save(stream)
                stream.flush()
                os.fsync(stream.fileno())
            _replace(temporary_file, file)
        finally:
            _remove(temporary_file)


def write_text(file, text):
    """Replace the content of `file` by this text, in UTF-8 on all systems, as `write` does."""
    write(file, lambda stream: stream.write(text.encode("utf-8")))


@contextlib.contextmanager
def lock(file):
    """Keep other trainings off a file within a `with` block, and remove what killed writers left.

    Raises RefusedError if another one is at work with it.
    """
    with _explain(file):
        file = _resolve_target(file)
        lock_file = file.with_name(f".{file.name}.lock")
        file_lock = FileLock(lock_file, timeout=0)
        try:
            file_lock.acquire()
        except Timeout:
            raise RefusedError(
                f"another training is at work with {file}, or it was given twice; wait, or give "
                "another name"
            ) from None
    try:
        for leftover in file.parent.glob(f".{glob.escape(file.name)}.{'[0-9a-f]' * 16}.tmp"):
            _remove(leftover)
        yield
    finally:
        _remove(lock_file)
        file_lock.release()


@contextlib.contextmanager
def _explain(file):
    try:
        yield
    except OSError as error:
        raise RefusedError(f"can't save to {file}: {error.strerror or error}") from error


def _resolve_target(file):
    """Return the absolute path to write to. Raises RefusedError if what is there must stay."""
    file = resolve(file)
    if file.exists() and not file.is_file():
        raise RefusedError(f"can't save to {file}: it exists and is not a regular file")
    if file.exists() and not file.stat().st_mode & stat.S_IWUSR:
        raise RefusedError(f"can't save to {file}: it is read-only")
    return file


def _get_temporary_file(file):
    # A name of its own for each write, so that two writers don't meet in one file.
    return file.with_name(f".{file.name}.{secrets.token_hex(8)}.tmp")


def _remove(file):
    # Windows removes no file that is open, here or in a virus scanner; `lock` does it next time.
    with contextlib.suppress(OSError):
        file.unlink()


def _replace(source, file):
    # On Windows, no file is replaced while another program has it open, such as a virus scanner.
    for seconds in (0.1, 0.4, 1.5):
        try:
            return os.replace(source, file)
        except PermissionError:
            if os.name != "nt":
                raise
            time.sleep(seconds)
    return os.replace(source, file)
