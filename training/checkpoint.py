"""Where a training stands, on disk: after each epoch, all that it takes to go on from there."""

import contextlib
import sys

import torch
from filelock import FileLock, Timeout

from files import atomic, models

FORMAT = 2


def describe(model, optimizer, **settings):
    """Return the settings, plain values, by which a training is told from another one.

    They are the kinds of model and optimizer, the optimizer's own settings, and those given.
    """
    return {
        "network": type(model).__name__,
        "optimizer": type(optimizer).__name__,
        **{
            name: value
            for group in optimizer.param_groups
            for name, value in group.items()
            if name != "params"
        },
        **settings,
    }


def list_differences(here, there, ignored=()):
    """Return, for each setting that differs between two such dicts, what it is in either."""
    # A setting that another version of PyTorch doesn't know yet counts as off.
    return [
        f"{name} is {here.get(name)!r}, there {there.get(name)!r}"
        for name in here | there
        if name not in ignored and (here.get(name) or None) != (there.get(name) or None)
    ]


class Checkpoint:
    """The file of a training: a model, its optimizer, the random generators.

    `settings`, as `describe` returns them, keep another training from going on from the file.
    """

    def __init__(self, file, settings, model, optimizer):
        self.file = atomic.resolve(file)
        self.settings = settings
        self.model = model
        self.optimizer = optimizer
        self.device = next(model.parameters()).device
        self._device_module = torch.get_device_module(self.device)
        self._device_index = [] if self.device.type == "mps" else [self.device]

    @contextlib.contextmanager
    def lock(self):
        """Keep other trainings off the file within a `with` block. Raises OSError if one is on."""
        try:
            with FileLock(self.file.with_name(f".{self.file.name}.lock"), timeout=0):
                atomic.remove_leftovers(self.file)
                yield
        except Timeout:
            raise OSError(
                f"another training is at work with the checkpoint {self.file}; wait for it, or "
                "give another file"
            ) from None

    def write(self, epoch):
        """Write the state after this epoch, atomically and durably. Raises OSError."""
        random_states = {"cpu": torch.get_rng_state()}
        if self.device.type != "cpu":  # on which dropout draws
            random_states[self.device.type] = self._device_module.get_rng_state(*self._device_index)
        models.write(
            {
                "format": FORMAT,
                "settings": self.settings,
                "epoch": epoch,
                "seed": torch.initial_seed(),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "random_states": random_states,
            },
            self.file,
        )

    def resume(self, num_epochs):
        """Restore the state from the file; return its epoch, or 0 if there is no file.

        Raises ValueError, naming what differs, if the file is damaged, of another training, or
        of more than `num_epochs` epochs; file and model are then unchanged.
        """
        if not self.file.is_file():
            return 0
        content = read(self.file)
        self._refuse_another_training(content["settings"])
        epoch = content["epoch"]
        if epoch > num_epochs:
            raise ValueError(
                f"{self.file} is a checkpoint after epoch {epoch}, and only {num_epochs} are asked "
                "for; give more epochs, or a new file"
            )
        models.fill(self.model, content["model"], self.file)
        self.optimizer.load_state_dict(content["optimizer"])
        print(f"resumed {self.file} after epoch {epoch}", file=sys.stderr)
        self._restore_random_states(content["random_states"])
        return epoch

    def _restore_random_states(self, states):
        torch.set_rng_state(states.pop("cpu"))
        if self.device.type in states:
            self._device_module.set_rng_state(states.pop(self.device.type), *self._device_index)
        elif self.device.type != "cpu":
            states[self.device.type] = None
        for lost in states:
            print(f"what {lost} drew at random could not be restored", file=sys.stderr)

    def _refuse_another_training(self, saved):
        differing = list_differences(self.settings, saved)
        if differing:
            raise ValueError(
                f"{self.file} is a checkpoint of another training ({'; '.join(differing)}); "
                "give the same settings, or a new file"
            )


def read(file):
    """Return the content of a checkpoint. Raises OSError, or ValueError if it isn't one."""
    content = models.read(file)
    if not isinstance(content, dict) or "format" not in content:
        raise ValueError(f"{file} is not a checkpoint; --checkpoint needs one or a new file")
    if content["format"] != FORMAT:
        raise ValueError(
            f"{file} has checkpoint format {content['format']}, this program writes "
            f"and reads {FORMAT}; use the program that wrote it, or a new file"
        )
    return content


def read_seed(file):
    """Return the seed of the training in the file, or None if there is no file."""
    file = atomic.resolve(file)
    return read(file)["seed"] if file.is_file() else None
