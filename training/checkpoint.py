"""Where a training stands, on disk: after each epoch, all that it takes to go on from there."""

import sys
from pathlib import Path

import torch

from files import models

FORMAT = 1


class Checkpoint:
    """The file of a training: a model, its optimizer (or None), the random generators.

    `settings` is a dict of plain values: those with which a training can't be another one
    than the file's.
    """

    def __init__(self, file, settings, model, optimizer=None):
        self.file = Path(file).expanduser()
        self.settings = {"network": type(model).__name__, **settings}
        self.model = model
        self.optimizer = optimizer

    def write(self, epoch):
        """Write the state after this epoch, atomically and durably. Raises OSError."""
        models.write(
            {
                "format": FORMAT,
                "settings": self.settings,
                "epoch": epoch,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer and self.optimizer.state_dict(),
                "random_state": torch.get_rng_state(),
                "cuda_random_states": torch.cuda.get_rng_state_all(),
            },
            self.file,
        )

    def resume(self):
        """Take the state from the file; return its epoch, or 0 if there is no file.

        Raises ValueError, naming what differs, if the file is damaged or of another training;
        file and model are then unchanged.
        """
        if not self.file.exists():
            return 0
        content = models.read(self.file)
        self._refuse_another_training(content)
        models.fill(self.model, content["model"], self.file)
        if self.optimizer is not None:
            self.optimizer.load_state_dict(content["optimizer"])
        torch.set_rng_state(content["random_state"])
        if len(content["cuda_random_states"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(content["cuda_random_states"])
        epoch = content["epoch"]
        print(f"resumed {self.file} after epoch {epoch}, random state included", file=sys.stderr)
        return epoch

    def _refuse_another_training(self, content):
        if not isinstance(content, dict) or "format" not in content:
            raise ValueError(
                f"{self.file} is not a checkpoint; --checkpoint needs one or a new file"
            )
        if content["format"] != FORMAT:
            raise ValueError(
                f"{self.file} has checkpoint format {content['format']}, this program writes "
                f"and reads {FORMAT}; use the program that wrote it, or a new file"
            )
        saved = content["settings"]
        differing = [
            f"{name} is {self.settings.get(name)!r}, there {saved.get(name)!r}"
            for name in self.settings | saved
            if self.settings.get(name) != saved.get(name)
        ]
        if differing:
            raise ValueError(
                f"{self.file} is a checkpoint of another training ({'; '.join(differing)}); "
                "give the same settings, or a new file"
            )
