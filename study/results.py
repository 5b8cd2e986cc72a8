"""The results of many runs on disk: one JSON file for each, so that none is run twice."""

import fnmatch
import json
import tempfile
from pathlib import Path

from common import RefusedError
from files import atomic
from pytorch_mnist import OUTPUT_SIZE
from study import variants
from training.checkpoint import list_differences


def add_results_flag(parser, help):
    """Add `--results`, for a program that writes to such a folder."""
    parser.add_argument("--results", default="reproduction", metavar="FOLDER", help=help)


# How the tables in a results folder begin, by their names.
TABLES = {
    "runs.csv": "variant,seed,accuracy",
    "trace.csv": "variant,seed,epoch",
    "convnets.csv": "experiment,inputs,seed",
}


def create_folder(folder):
    """Create a folder for results, unless it is there. Return its Path.

    Raises RefusedError if it can't be created or written to, or if it is somebody's own: neither
    empty nor with results in it.
    """
    if not folder:
        raise RefusedError("--results '' names no folder; give one, or leave it out")
    folder = Path(folder).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A file without a name, as other processes may be at work in the folder.
        with tempfile.TemporaryFile(dir=folder):
            pass
        names = [file.name for file in folder.iterdir() if not file.name.startswith(".")]
        is_own = any(fnmatch.fnmatch(name, "*-manual-*-epochs-seed-*.json") for name in names)
        is_own |= any(_begins(folder / name, begin) for name, begin in TABLES.items())
    except OSError as error:
        raise RefusedError(
            f"can't keep results in {folder} ({error.strerror}); "
            "--results needs a folder that can be written to"
        ) from error
    if names and not is_own:
        raise RefusedError(
            f"{folder} holds {names[0]} and no results: files of yours might be overwritten; give "
            "--results an empty or a new folder"
        )
    return folder


def _begins(file, begin):
    return file.is_file() and file.open("rb").read(len(begin)) == begin.encode()


class RunResults:
    """A folder's results of runs with this number of epochs, on these data.

    A run is a pair (variant, seed), a result the dict that `variants.train` returns
    for it. Other numbers of epochs make other files, so that studies can share a folder.
    """

    def __init__(self, folder, epochs, data=None):
        self.folder = folder
        self.epochs = epochs
        self.data = data

    def _get_file(self, variant, seed):
        return self.folder / f"{variant}-manual-{self.epochs}-epochs-seed-{seed}.json"

    def read(self, runs):
        """Return the results that are there, by run.

        Raises RefusedError for a damaged file, and for a result of other settings.
        """
        return {run: self._read(*run) for run in runs if self._get_file(*run).exists()}

    def _read(self, variant, seed):
        file = self._get_file(variant, seed)
        content = atomic.read(file)
        try:
            result = json.loads(content)
            found = {"variant": result["variant"], "seed": result["seed"], **result["settings"]}
            self._check(result)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise RefusedError(
                f"{file} is not a complete result ({error!r}); remove it, and it is run again"
            ) from error
        wanted = {"variant": variant, "seed": seed}
        wanted |= variants.get_settings(variant, self.epochs, self.data)
        differing = list_differences(wanted, found)
        if differing:
            raise RefusedError(
                f"{file} is the result of another run ({'; '.join(differing)}); give another "
                "--results"
            )
        return result

    def _check(self, result):
        """Raise ValueError, or what a missing field raises, unless the result can be one."""
        accuracies, errors = result["accuracy_after_epoch"], result["error_per_digit"]
        if (len(accuracies), len(errors)) != (self.epochs, OUTPUT_SIZE):
            raise ValueError(f"it has {len(accuracies)} epochs, and errors of {len(errors)} digits")
        if not all(0 <= fraction <= 1 for fraction in [result["accuracy"], *accuracies, *errors]):
            raise ValueError("an accuracy or an error is no fraction")
        if not result["seconds"] >= 0:
            raise ValueError("its seconds are negative")

    def write(self, result):
        """Write a result to its file, atomically. Raises RefusedError."""
        file = self._get_file(result["variant"], result["seed"])
        atomic.write_text(file, json.dumps(result, indent=1))
