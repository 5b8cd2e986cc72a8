"""The results of many runs on disk: one JSON file for each, so that none is run twice."""

import json
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from files import atomic
from study import variants
from training import command_line
from training.checkpoint import list_differences


def add_results_flag(parser, help):
    """Add `--results`, for a program that writes to such a folder."""
    command_line.add_flag(parser, "--results", help, default="reproduction", metavar="FOLDER")


def create_folder(folder):
    """Create a folder for results, unless it is there. Return its Path.

    Raises OSError if it can't be created or written to.
    """
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A file without a name, as other processes may be at work in the folder.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            f"can't keep results in {folder} ({error.strerror}); "
            "--results needs a folder that can be written to"
        ) from error
    return folder


class RunResults:
    """A folder's results of runs with this number of epochs.

    A unit of work is a pair (variant, seed), a result the dict that `variants.train` returns
    for it. Other numbers of epochs make other files, so that studies can share a folder.
    """

    def __init__(self, folder, epochs):
        self.folder = folder
        self.epochs = epochs

    def lock(self):
        """Keep other studies off the folder, until this process ends. Raises OSError."""
        self._lock = FileLock(self.folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise OSError(
                f"another reproduce.py is at work in {self.folder}; wait for it, or give "
                "another --results"
            ) from None

    def _get_file(self, variant, seed):
        return self.folder / f"{variant}-manual-{self.epochs}-epochs-seed-{seed}.json"

    def read(self, units):
        """Return the results that are there, and what is wrong with unusable files, by unit.

        Raises OSError for results of other settings, which another run would overwrite.
        """
        results, complaints = {}, {}
        for unit in units:
            try:
                results[unit] = self._read(*unit)
            except FileNotFoundError:
                pass
            except (ValueError, KeyError, TypeError) as error:
                complaints[unit] = f"{self._get_file(*unit)} is not a complete result ({error!r})"
        return results, complaints

    def _read(self, variant, seed):
        file = self._get_file(variant, seed)
        result = json.loads(file.read_bytes())
        found = {"variant": result["variant"], "seed": result["seed"], **result["settings"]}
        wanted = {"variant": variant, "seed": seed}
        wanted |= variants.get_settings(variant, self.epochs)
        differing = list_differences(wanted, found)
        if differing:
            raise OSError(
                f"{file} is the result of another run ({'; '.join(differing)}); give another "
                "--results"
            )
        for key in ("accuracy", "accuracy_after_epoch", "error_per_digit", "seconds"):
            result[key]  # KeyError
        return result

    def write(self, result):
        """Write a result to its file, atomically and durably. Raises OSError."""
        file = self._get_file(result["variant"], result["seed"])
        atomic.write_text(file, json.dumps(result, indent=1))
