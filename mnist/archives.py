"""MNIST's .gz files: downloaded and unpacked, each whole or not at all.

No file is ever deleted or overwritten: what a new one replaces is set aside as `NAME.damaged`.
"""

import contextlib
import gzip
import http.client
import itertools
import math
import os
import shutil
import struct
import sys
import zlib

from torchvision import datasets

MD5S = dict(datasets.MNIST.resources)

# Bytes per number, by an IDX file's third byte: uint8, int8, int16, int32, float32, float64.
IDX_TYPES = {8: 1, 9: 1, 11: 2, 12: 4, 13: 4, 14: 8}


def is_canonical(archive):
    """Is this .gz there, and byte for byte as it was published?"""
    return datasets.utils.check_integrity(archive, MD5S[archive.name])


def unpack(archive, file):
    """Unpack an archive; return False if it is missing, not whole, or not of an IDX file."""
    if not archive.is_file():
        return False
    try:
        with _replace(file) as new_file:
            with gzip.open(archive) as packed, open(new_file, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
            if read_header(new_file) is None:
                raise EOFError
    except (EOFError, gzip.BadGzipFile, zlib.error):
        return False
    return True


def download(archive):
    """Download an archive from the first of torchvision's mirrors that has it."""
    reasons = []
    for mirror in datasets.MNIST.mirrors:
        try:
            with _replace(archive) as new_file:
                datasets.utils.download_url(
                    mirror + archive.name, new_file.parent, new_file.name, MD5S[archive.name]
                )
            return
        except (RuntimeError, OSError, http.client.HTTPException) as error:
            reasons.append(f"{mirror}: {' '.join(str(error).split())}")
    raise RuntimeError(f"downloading {archive.name} failed ({'; '.join(reasons)})")


@contextlib.contextmanager
def _replace(file):
    """Yield the path of a new file, which takes the place of `file` when all of it is written."""
    new_file = file.with_name(f".{file.name}.new")
    try:
        yield new_file
        if os.path.lexists(file):
            _set_aside(file)
        os.replace(new_file, file)
    finally:
        new_file.unlink(missing_ok=True)


def _set_aside(file):
    new_name = f"{file.name}.damaged"
    for number in itertools.count(2):
        if not os.path.lexists(file.with_name(new_name)):
            break
        new_name = f"{file.name}.damaged.{number}"
    file.rename(file.with_name(new_name))
    print(f"{file} is restored; what it held before is in {new_name}", file=sys.stderr)


def read_header(file):
    """Return an IDX file's type and shape; None if it isn't one, or not of their length."""
    with open(file, "rb") as stream:
        magic = stream.read(4)
        if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in IDX_TYPES or magic[3] < 1:
            return None
        sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        return None
    shape = list(struct.unpack(f">{magic[3]}I", sizes))
    num_bytes = 4 + len(sizes) + IDX_TYPES[magic[2]] * math.prod(shape)
    return (magic[2], shape) if file.stat().st_size == num_bytes and all(shape) else None
