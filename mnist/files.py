"""The MNIST files on disk: where they are, and that they are whole.

`datasets.MNIST` reads, unpacks and downloads; but before it reads an unpacked file it asks
only whether there is one. A first run that was killed, or a full disk, leaves half a file
that is read as if it were whole. So this module checks first, and has torchvision make
anew what is damaged.
"""

import contextlib
import sys
from pathlib import Path

from filelock import FileLock
from torchvision import datasets

# Size in bytes and MD5 of each unpacked file, of the canonical distribution.
UNPACKED_FILES = {
    "train-images-idx3-ubyte": (47040016, "6bbc9ace898e44ae57da46a324031adb"),
    "train-labels-idx1-ubyte": (60008, "a25bea736e30d166cdddb491f175f624"),
    "t10k-images-idx3-ubyte": (7840016, "2646ac647ad5339dbf082846283269ea"),
    "t10k-labels-idx1-ubyte": (10008, "27ae3e4e09519cfbb04c329615203637"),
}

DEFAULT_ROOT = "./data"


def find_root(root=DEFAULT_ROOT):
    """Return the folder (a `Path`) that holds, or is to hold, `MNIST/raw`.

    It is `root` itself, but for the default where the working directory has no MNIST: then
    it is `data` beside this file, so that the scripts run from anywhere.
    """
    if Path(root) == Path(DEFAULT_ROOT) and not Path(root, "MNIST", "raw").is_dir():
        return Path(__file__).resolve().parent.parent / "data"
    return Path(root).expanduser()


def ensure_intact(root, download=True):
    """Make sure that the four unpacked files under `root` are the canonical ones.

    With `download`, a missing or damaged file is made anew by torchvision: from its `.gz`,
    or, where that is missing or damaged too, from the network. Processes that start at once
    wait for each other here. Raises RuntimeError, naming the files, where that can't be done.
    """
    raw_folder = Path(root) / "MNIST" / "raw"
    damaged = _find_damaged(raw_folder)
    if damaged and download:
        reason = _restore(root, raw_folder) or "torchvision left them so"
        damaged = _find_damaged(raw_folder)
    else:
        reason = "download=False forbids making them anew"
    if damaged:
        raise RuntimeError(
            f"MNIST files missing or damaged: {', '.join(file.name for file in damaged)} "
            f"in {raw_folder.absolute()}. Put the four .gz files of this project's data/MNIST/raw "
            "('git checkout -- data' restores them) into that folder and make it writable for one "
            "run, or give the folder above another MNIST/raw, or connect to the network. "
            f"Why they could not be made anew: {reason}"
        )


def _find_damaged(raw_folder):
    """Return the paths of the unpacked files that are missing or not the canonical ones."""

    def is_intact(file, size, md5):
        return (
            file.is_file()
            and file.stat().st_size == size
            and datasets.utils.check_integrity(file, md5)
        )

    files = {raw_folder / name: expected for name, expected in UNPACKED_FILES.items()}
    return [file for file, (size, md5) in files.items() if not is_intact(file, size, md5)]


def _restore(root, raw_folder):
    """Have torchvision unpack (and download, if it must); return why it failed, or None.

    After a failure nothing half-written is left, nor a folder that wasn't there before.
    """
    new_folders = [folder for folder in (raw_folder, *raw_folder.parents) if not folder.exists()]
    lock_file = raw_folder / ".lock"
    try:
        raw_folder.mkdir(parents=True, exist_ok=True)
        with FileLock(lock_file):
            _remove_damaged(raw_folder)
            try:
                # Older releases of torchvision report on stdout, which is the article's.
                with contextlib.redirect_stdout(sys.stderr):
                    datasets.MNIST(root, download=True)
            finally:
                _remove_damaged(raw_folder)
    except (RuntimeError, OSError) as error:
        if new_folders:
            with contextlib.suppress(OSError):
                lock_file.unlink(missing_ok=True)
                for folder in new_folders:
                    folder.rmdir()
        return " ".join(str(error).split())


def _remove_damaged(raw_folder):
    # torchvision makes anew only what isn't there.
    for file in _find_damaged(raw_folder):
        file.unlink(missing_ok=True)
