"""The MNIST files on disk: where they are, and that they can be read.

`datasets.MNIST` reads, but before it reads an unpacked file it asks only whether there is
one: half a file, left by a killed run, is read as if it were whole. So `prepare` looks at the
files first. It restores what is missing or damaged, and leaves other data in MNIST's format
(Fashion-MNIST, say) as it is. It never deletes or overwrites a file: what it replaces is set
aside as `NAME.damaged`.
"""

import atexit
import contextlib
import errno
import functools
import itertools
import shutil
import sys
import tempfile
from pathlib import Path

from filelock import FileLock
from torchvision import datasets

from mnist import archives

# Size in bytes and MD5 of each unpacked file, of the canonical distribution.
UNPACKED_FILES = {
    "train-images-idx3-ubyte": (47040016, "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": (60008, "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": (7840016, "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": (10008, "27ae3e4e09519cfbb04c329615203637"),
}
UINT8 = 8

DEFAULT_ROOT = "./data"


def find_root(root=DEFAULT_ROOT):
    """Return the folder (a `Path`) that holds, or is to hold, `MNIST/raw`.

    It is `root` itself, but for the default where the working directory has no MNIST files:
    then it is `data` in the project's folder, so that the scripts run from anywhere.
    """
    if Path(root) == Path(DEFAULT_ROOT) and not _holds_files(_raw_folder(root)):
        return Path(__file__).resolve().parent.parent / "data"
    return Path(root).expanduser()


def prepare(root, download=True):
    """Make sure that torchvision can read MNIST; return the root (a `Path`) to read it from.

    That is `root`, unless that was never unpacked and can't be written: then it is a temporary
    folder, removed at the end of the process. An unpacked file that is missing, or damaged, or
    differs from the canonical `.gz` beside it, is unpacked anew; the network is asked only where
    there is no usable `.gz`. Other data is read as it is. Processes that start at once wait for
    each other. With `download=False`, nothing is written, nor unpacked.

    Raises RuntimeError or OSError if a file can't be restored, ValueError if there aren't as
    many images, of 28x28 bytes, as labels.
    """
    root = Path(root)
    legacy_folder = root / "MNIST" / "processed"
    if all((legacy_folder / name).is_file() for name in ("training.pt", "test.pt")):
        _say_once(f"torchvision reads what an old release left in {legacy_folder}, unchecked")
        return root

    faults, other_data = _inspect(root)
    if faults:
        _check_place(root, faults)
        if not download:
            raise RuntimeError(f"{_describe(faults)}; download=False forbids restoring")
        root = _restore(root, faults)
        _, other_data = _inspect(root)
    if other_data:
        names = ", ".join(file.name for file in other_data)
        _say_once(f"{_raw_folder(root)} isn't canonical MNIST ({names}): it is read as it is")
    _check_shapes(root)
    return root


def _raw_folder(root):
    return Path(root, "MNIST", "raw")


def _archive_of(file):
    return file.with_name(f"{file.name}.gz")


def _holds_files(folder):
    return any(folder.glob("*-ubyte*"))


@functools.cache
def _say_once(line):
    print(line, file=sys.stderr)


def _inspect(root):
    """Return what is wrong with which unpacked files (a dict), and those with other data."""
    faults, other_data = {}, []
    for name, (size, md5) in UNPACKED_FILES.items():
        file = _raw_folder(root) / name
        try:
            if not file.is_file():
                faults[file] = "is missing"
            elif file.stat().st_size == size and datasets.utils.check_integrity(file, md5):
                continue
            elif archives.read_header(file) is None:
                faults[file] = "is damaged"
            elif archives.is_canonical(_archive_of(file)):
                faults[file] = "differs from its .gz"
            else:
                other_data.append(file)
        except FileNotFoundError:  # another process is just replacing it
            faults[file] = "is missing"
    return faults, other_data


def _describe(faults):
    folder = next(iter(faults)).parent
    if len(faults) == len(UNPACKED_FILES) and set(faults.values()) == {"is missing"}:
        return f"there are no MNIST files in {folder}"
    return f"{', '.join(f'{file.name} {fault}' for file, fault in faults.items())} in {folder}"


def _check_shapes(root):
    for part in ("train", "t10k"):
        images, labels = (
            _raw_folder(root) / f"{part}-{name}-ubyte" for name in ("images-idx3", "labels-idx1")
        )
        num_labels = archives.read_header(labels)[1][:1]
        for file, shape in ((labels, num_labels), (images, [*num_labels, 28, 28])):
            found_type, found_shape = archives.read_header(file)
            if (found_type, found_shape) != (UINT8, shape):
                raise ValueError(
                    f"{file} holds {found_shape} numbers of IDX type {found_type}; expected are "
                    f"{shape} of type {UINT8}, as {labels.name} holds {num_labels[0]} labels"
                )


def _check_place(root, faults):
    """Raise RuntimeError if the path is mistyped, or the files lie not far from their place."""
    root = root.resolve()
    if not root.parent.is_dir():
        raise RuntimeError(f"there is no folder {root}, nor {root.parent}: is it mistyped?")
    absent = [file for file in faults if not file.exists() and not _archive_of(file).exists()]
    if not absent:
        return
    name, raw_folder = absent[0].name, _raw_folder(root)
    folders = [raw_folder]
    if not _holds_files(raw_folder):
        folders += [root, root / "raw", root / "MNIST", *map(_raw_folder, root.glob("*/"))]
    names = (name, name.replace("-idx", ".idx"))  # the latter is how some unpackers write it
    for folder, found_name, suffix in itertools.product(folders, names, ("", ".gz")):
        found = folder / f"{found_name}{suffix}"
        if found.is_file():
            advice = f"move or rename it to {raw_folder / name}{suffix}, and the others likewise"
            if found_name == name and folder.parts[-2:] == ("MNIST", "raw"):
                advice = f"give the folder {folder.parent.parent}"
            raise RuntimeError(f"{name} is missing in {raw_folder}, but {found} exists: {advice}")


def _restore(root, faults):
    """Restore the files; return the folder that they are under now.

    After a failure, no folder is left that wasn't there before.
    """
    raw_folder = _raw_folder(root)
    new_folders = [folder for folder in (raw_folder, *raw_folder.parents) if not folder.exists()]
    lock_file = raw_folder / ".lock"
    try:
        raw_folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_file):
            _restore_files(root)
        return root
    except (RuntimeError, OSError) as error:
        if new_folders:
            with contextlib.suppress(OSError):
                lock_file.unlink(missing_ok=True)
                for folder in new_folders:
                    folder.rmdir()
        if root in new_folders and not root.exists():
            raise RuntimeError(
                f"there is no folder {root}, and no new one is left, as filling it failed: {error}"
            ) from error
        if isinstance(error, RuntimeError):
            raise
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            return _unpack_elsewhere(root.resolve())
        raise RuntimeError(f"{error}, while restoring files: {_describe(faults)}") from error


def _restore_files(root):
    faults, _ = _inspect(root)  # again: another process may have restored them meanwhile
    for file in list(faults):
        if archives.unpack(_archive_of(file), file):
            del faults[file]
        elif _archive_of(file).exists():
            faults[file] += ", its .gz is damaged"
    if not faults:
        return
    _, other_data = _inspect(root)
    if other_data:
        raise RuntimeError(
            f"{_describe(faults)}; MNIST's own would not match {other_data[0].name}, which is "
            "other data, so nothing is downloaded"
        )
    for file in faults:
        try:
            archives.download(_archive_of(file))
        except RuntimeError as error:
            raise RuntimeError(
                f"{_describe(faults)}, and {error}. Connect to the network, or copy this project's "
                "data/MNIST/raw/*.gz there ('git checkout -- data' restores those)"
            ) from error
        archives.unpack(_archive_of(file), file)


@functools.cache
def _unpack_elsewhere(root):
    """Unpack what can't be unpacked in its place; return a temporary root.

    It is removed at the end of the process, unless a signal ends that.
    """
    temporary_root = Path(tempfile.mkdtemp(prefix="mnist-"))
    atexit.register(shutil.rmtree, temporary_root, ignore_errors=True)
    temporary_folder = _raw_folder(temporary_root)
    temporary_folder.mkdir(parents=True)
    faults, _ = _inspect(root)
    for file in (_raw_folder(root) / name for name in UNPACKED_FILES):
        if file not in faults:
            shutil.copyfile(file, temporary_folder / file.name)
        elif not archives.unpack(_archive_of(file), temporary_folder / file.name):
            raise RuntimeError(
                f"{_describe({file: faults[file]})}, which can't be written, and no whole .gz is "
                "beside it"
            )
    print(f"{file.parent} can't be written: unpacked to {temporary_root}", file=sys.stderr)
    return temporary_root
