"""The course of a training, read off the lines that it prints: as data, and as a bar.

So the loops that print them need to know of neither.
"""

import contextlib
import csv
import io
import json
import re
import sys
import time

from files import atomic
from training.checkpoint import list_differences

PROGRESS = re.compile(r"Epoch \[(\d+)/(\d+)\], Step \[(\d+)/(\d+)\], Loss: (\S+)")
RESULT = re.compile(r"Test data results: (\S+)")
MAY_DIFFER = {"epochs", "device", "threads", "torch", "python"}  # when a training is resumed
COLUMNS = ["epoch", "step", "loss", "test_accuracy", "seconds"]


@contextlib.contextmanager
def follow(log=None, quiet=False, training=None, has_checkpoint=False):
    """Follow what is printed within a `with` block.

    `log` is a CSV file for the epoch, step and loss of each progress line, the seconds that the
    training has taken by then, and the fraction of each test that comes after it; above them
    stands `training`, a dict of its settings, seed and versions, as a comment in JSON. A training
    with a checkpoint goes on in the file that it has begun. With `quiet`, a bar on stderr takes
    the place of all lines but the tests' results. Raises OSError or ValueError if the file can't be
    written, or isn't this training's log.
    """
    if log is None and not quiet:
        yield
        return
    training = json.loads(json.dumps(training, default=str))  # as a log has it
    rows = {} if log is None else _open_log(log, training, has_checkpoint)
    writer = _Writer(sys.stdout, rows, log, quiet, training)
    try:
        with contextlib.redirect_stdout(writer):
            yield
    finally:
        writer.finish()


def _open_log(file, training, has_checkpoint):
    """Return the rows that a training's log has already."""
    atomic.check_writable(file)
    if not atomic.resolve(file).exists():
        return {}
    logged, rows = read_log(file)
    if not has_checkpoint:
        raise ValueError(f"{file} exists; give a new file, or the checkpoint it goes on from")
    differing = list_differences(training, logged, MAY_DIFFER)
    if differing:
        raise ValueError(
            f"{file} is the log of another training ({'; '.join(differing)}); give this training's "
            "log, or a new file"
        )
    return rows


def read_log(file):
    """Return a log's training and its rows: dicts of the other columns by (epoch, step).

    What a row lacks is None. Raises OSError if there is no such file, ValueError if it is no log.
    """
    try:
        with open(atomic.resolve(file), newline="") as stream:
            training = json.loads(stream.readline().removeprefix("# "))
            reader = csv.DictReader(stream)
            if not isinstance(training, dict) or reader.fieldnames != COLUMNS:
                raise ValueError
            return training, {
                (int(row["epoch"]), int(row["step"])): {
                    name: float(row[name]) if row[name] else None for name in COLUMNS[2:]
                }
                for row in reader
            }
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no file {file}") from None
    except (ValueError, TypeError, csv.Error):
        raise ValueError(f"{file} is no log, as --log writes it") from None


class _Writer(io.TextIOBase):
    """A stdout that reads along."""

    def __init__(self, stdout, rows, log, quiet, training):
        self.stdout, self.rows, self.log, self.quiet = stdout, rows, log, quiet
        self.training, self.start = training, time.perf_counter()
        self.bar, self.rest, self.is_first = None, "", True  # nothing is followed yet

    def write(self, text):
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self._follow(line)
        return len(text)

    def flush(self):
        self.stdout.flush()

    def _follow(self, line):
        if match := PROGRESS.fullmatch(line):
            epoch, num_epochs, step, num_steps = map(int, match.groups()[:4])
            if self.is_first:  # of a resumed training: what it does again is not there twice
                if any(logged > epoch for logged, _ in self.rows):
                    raise ValueError(
                        f"{self.log} goes beyond epoch {epoch}, at which this training goes on; "
                        "give its own checkpoint, or a new file"
                    )
                self.rows = {place: row for place, row in self.rows.items() if place[0] < epoch}
                if self.rows:
                    self.start -= self.rows[max(self.rows)]["seconds"] or 0
                self.is_first = False
            self.rows[epoch, step] = {
                "loss": float(match[5]),
                "test_accuracy": None,
                "seconds": round(time.perf_counter() - self.start, 2),
            }
            if step == num_steps:  # so that a killed training has a log for its checkpoint
                self._save()
            if self.quiet:
                self._move_bar((epoch - 1) * num_steps + step, num_epochs * num_steps, match[5])
        elif (match := RESULT.fullmatch(line)) and self.rows:
            self.rows[max(self.rows)]["test_accuracy"] = float(match[1])
            self._save()
        if not self.quiet or (match and match.re is RESULT):
            self.stdout.write(f"{line}\n")

    def _move_bar(self, position, total, loss):
        if self.bar is None:
            from tqdm.auto import tqdm

            is_notebook = "notebook" in tqdm.__module__
            # None: not where stderr is a file
            self.bar = tqdm(total=total, unit="step", disable=False if is_notebook else None)
        self.bar.set_postfix_str(f"loss {loss}", refresh=False)
        self.bar.update(position - self.bar.n)

    def _save(self):
        if self.log is not None:
            text = io.StringIO()
            text.write(f"# {json.dumps(self.training)}\n")
            writer = csv.DictWriter(text, COLUMNS)
            writer.writeheader()
            for (epoch, step), row in self.rows.items():
                writer.writerow({"epoch": epoch, "step": step, **row})
            atomic.write_text(self.log, text.getvalue())

    def finish(self):
        if not self.is_first:
            self._save()
        if self.bar is not None:
            self.bar.close()
        self.stdout.write(self.rest)
