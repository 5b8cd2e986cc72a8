"""A training's progress as data: its log, a CSV file."""

import csv
import io
import json
import math
import sys
import time

from common import RefusedError
from files import atomic, states
from training.checkpoint import list_differences

MAY_DIFFER = {"epochs", "device", "threads", "torch", "python"}  # when a training is resumed
COLUMNS = ["epoch", "step", "loss", "test_accuracy", "seconds"]


class Log:
    """The CSV file of a training: its settings, and a row for each reported loss.

    `training`, a dict of settings, seed and versions, stands above the rows as a comment in
    JSON. A row has epoch, step, loss, the seconds that the training has taken, and the fraction
    of a test that comes after it. With `first_epoch`, a training goes on in the file that it has
    begun; otherwise a file that exists is refused. Raises RefusedError, too, if the file can't be
    written, or is another training's log.
    """

    def __init__(self, file, training, first_epoch=None):
        self.file = file
        self.training = json.loads(json.dumps(training, default=str))  # as the file has it
        self.rows = {}
        self.has_warned = False
        if atomic.resolve(file).exists():
            if first_epoch is None:
                raise RefusedError(
                    f"{file} exists; give a new file, or the checkpoint it goes on from"
                )
            self._go_on_from(first_epoch)
        self.start = time.perf_counter() - max(
            (row["seconds"] or 0 for row in self.rows.values()), default=0
        )

    def _go_on_from(self, first_epoch):
        logged, rows = read_log(self.file)
        if logged.get("seed") is None:  # where it was not known, it is not known from here on
            self.training["seed"] = None
        differing = list_differences(self.training, logged, MAY_DIFFER)
        if differing:
            raise RefusedError(
                f"{self.file} is the log of another training ({'; '.join(differing)}); give this "
                "training's log, or a new file"
            )
        if any(epoch > first_epoch for epoch, _ in rows):
            raise RefusedError(
                f"{self.file} goes beyond epoch {first_epoch}, at which this training goes on; "
                "give its own checkpoint, or a new file"
            )
        # What this training does again is not there twice.
        self.rows = {place: row for place, row in rows.items() if place[0] < first_epoch}

    def report(self, epoch, num_epochs, step, num_steps, loss):
        seconds = round(time.perf_counter() - self.start, 2)
        self.rows[epoch, step] = {"loss": loss, "test_accuracy": None, "seconds": seconds}
        if step == num_steps:  # so that a killed training has a log for its checkpoint
            self.save()

    def add_test(self, fraction):
        """Add a test's result to the last row."""
        if self.rows:
            self.rows[max(self.rows)]["test_accuracy"] = fraction
            self.save()

    def save(self):
        """Write the file. If that fails, a line on stderr says so once: the training goes on."""
        text = io.StringIO()
        text.write(f"# {json.dumps(self.training)}\n")
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for (epoch, step), row in self.rows.items():
            writer.writerow({"epoch": epoch, "step": step, **row})
        try:
            atomic.write_text(self.file, text.getvalue())
        except RefusedError as error:
            if not self.has_warned:
                print(f"{error}; trying again after the next epoch", file=sys.stderr)
            self.has_warned = True


def read_log(file):
    """Return a log's training and its rows: dicts of the other columns by (epoch, step).

    What a row lacks is None. Raises RefusedError if there is no such file, or if it is no log.
    """
    path = atomic.resolve(file)
    if not path.is_file():
        raise RefusedError(f"there is no file {file}")
    try:
        if path.stat().st_size > states.MAX_BYTES:
            raise ValueError
        text = atomic.read(path).decode("utf-8")
        first, *lines = text.splitlines()
        training = json.loads(first.removeprefix("# "))
        reader = csv.DictReader(lines)
        if not isinstance(training, dict) or reader.fieldnames != COLUMNS or text[-1] != "\n":
            raise ValueError
        rows = dict(map(_read_row, reader))
        if len(rows) != len(lines) - 1 or list(rows) != sorted(rows):
            raise ValueError
        return training, rows
    except RefusedError:
        raise
    except (ValueError, TypeError, KeyError, RecursionError, csv.Error):
        raise RefusedError(f"{file} is no whole log, as --log writes it") from None


def _read_row(row):
    place = int(row["epoch"]), int(row["step"])
    values = {name: float(row[name]) if row[name] else None for name in COLUMNS[2:]}
    if (
        min(place) < 1
        or len(row) != len(COLUMNS)
        or None in row.values()  # a field is missing
        or not math.isfinite(values["loss"])
        or not 0 <= (values["test_accuracy"] or 0) <= 1
        or not 0 <= (values["seconds"] or 0) < math.inf
    ):
        raise ValueError
    return place, values
