"""Where a training stands, on disk: after each epoch, all that it takes to go on from there."""

import copy
import sys

import torch

from common import RefusedError
from files import atomic, states

FORMAT = 3
FIELDS = {  # by name, of which type
    "format": int,
    "settings": dict,
    "epoch": int,
    "seed": int,
    "model": dict,
    "optimizer": dict,
    "random_states": dict,
}


def describe_optimizer(optimizer):
    """Return the kind of optimizer and its settings, those of each parameter group."""
    settings = {"optimizer": type(optimizer).__name__}
    for index, group in enumerate(optimizer.param_groups):
        of_group = f" of parameter group {index}" if len(optimizer.param_groups) > 1 else ""
        settings |= {
            f"{name}{of_group}": value for name, value in group.items() if name != "params"
        }
    return settings


def list_differences(here, there, ignored=()):
    """Return, for each setting that differs between two such dicts, what it is in either."""
    return [
        f"{name}: {here.get(name)!r} here, {there.get(name)!r} in the file"
        for name in here | there
        if name not in ignored and _get_value(here, name) != _get_value(there, name)
    ]


def _get_value(settings, name):
    # A setting that another version of PyTorch doesn't know yet counts as off; 0 may be a seed.
    value = settings.get(name)
    return None if value is False or value in ([], {}) else value


class Checkpoint:
    """The file of a training: a model, its optimizer, the random generators.

    `settings`, a dict of plain values, keep another training from going on from the file.
    `stateful`, by name, is what else has a `state_dict` and a `load_state_dict`; what schedulers
    begin with belongs to the settings.
    """

    def __init__(self, file, settings, model, optimizer, stateful=None):
        self.file = atomic.resolve(file)
        self.stateful = stateful or {}
        self.settings = settings | {"stateful": list(self.stateful)}
        schedules = {name: it for name, it in self.stateful.items() if hasattr(it, "optimizer")}
        is_scheduled = any("initial_lr" in group for group in optimizer.param_groups)
        if is_scheduled and optimizer not in [it.optimizer for it in schedules.values()]:
            raise RefusedError(
                "a scheduler is at work, which the checkpoint has to keep: give it to Run, as "
                'stateful={"schedule": schedule}'
            )
        for name, schedule in schedules.items():
            state = copy.deepcopy(schedule.state_dict())
            self.settings |= {f"{name}.{key}": value for key, value in state.items()}
        self.model = states.unwrap(model)
        self.optimizer = optimizer
        self.device = next(model.parameters()).device
        self._device_module = torch.get_device_module(self.device)
        self._device_index = [] if self.device.type == "mps" else [self.device]

    def write(self, epoch):
        """Write the state after this epoch, atomically. Raises RefusedError."""
        states.write(self._get_content(epoch), self.file)

    def _get_content(self, epoch):
        random_states = {"cpu": torch.get_rng_state()}
        if self.device.type != "cpu":  # on which dropout draws
            random_states[self.device.type] = self._device_module.get_rng_state(*self._device_index)
        return {
            "format": FORMAT,
            "settings": self.settings,
            "epoch": epoch,
            "seed": torch.initial_seed(),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "stateful": {name: value.state_dict() for name, value in self.stateful.items()},
            "random_states": random_states,
        }

    def resume(self, num_epochs):
        """Restore the state from the file; return its epoch, or 0 if there is no file.

        Raises RefusedError, naming what differs, if the file is damaged, of another training, or
        of more than `num_epochs` epochs; file and model are then unchanged. Raises it, too, if
        there is no file, and one that is written could not be read again.
        """
        if not self.file.is_file():
            content = self._get_content(0)
            states.check_readable(content, self.file)
            check(content, self.file)
            return 0
        content = read(self.file)
        differing = list_differences(self.settings, content["settings"])
        if differing:
            raise RefusedError(
                f"{self.file} is a checkpoint of another training ({'; '.join(differing)}); "
                "give the same settings, or a new file"
            )
        epoch = content["epoch"]
        if epoch > num_epochs:
            raise RefusedError(
                f"{self.file} is a checkpoint after epoch {epoch}, and only {num_epochs} are asked "
                "for; give more epochs, or a new file"
            )
        states.check_state(self.model, content["model"], self.file)
        try:
            torch.Generator().set_state(content["random_states"]["cpu"])
            self.optimizer.load_state_dict(content["optimizer"])
            for name, value in self.stateful.items():
                value.load_state_dict(content["stateful"][name])
        except (KeyError, ValueError, TypeError, AttributeError, RuntimeError) as error:
            raise RefusedError(
                f"{self.file} is no whole checkpoint of this training ({error}); use a new file"
            ) from error
        self.model.load_state_dict(content["model"])
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


def read(file):
    """Return the content of a checkpoint. Raises RefusedError if there is none, or it isn't one."""
    content = states.read(file)
    check(content, file)
    return content


def check(content, file):
    """Raise RefusedError if the content of a file is not that of a checkpoint."""
    if not isinstance(content, dict) or "format" not in content:
        raise RefusedError(f"{file} is not a checkpoint; --checkpoint needs one or a new file")
    if not isinstance(content["format"], int) or content["format"] != FORMAT:
        raise RefusedError(
            f"{file} has checkpoint format {content['format']}, this program writes "
            f"and reads {FORMAT}; use the program that wrote it, or a new file"
        )
    for name, kind in FIELDS.items():
        if not isinstance(content.get(name), kind):
            raise RefusedError(f"{file} is no whole checkpoint ({name}); use a new file")
    if not states.is_state(content["model"]):
        raise RefusedError(f"{file} is no whole checkpoint (model); use a new file")


def read_seed(file):
    """Return the seed of the training in the file, or None if there is no file."""
    file = atomic.resolve(file)
    return read(file)["seed"] if file.is_file() else None
