"""What a training needs around its loops: data, threads, checkpoint, log, a saved network."""

import contextlib
import platform
import sys
from dataclasses import dataclass

import torch

import common
from common import RefusedError
from files import atomic, states
from training.checkpoint import Checkpoint, describe_optimizer
from training.progress import Log

MAX_THREADS = 1024


@dataclass(frozen=True)
class Settings:
    """The settings of a training, as the flags of the same names set them.

    `batch_size=None` is `common.BATCH_SIZE`. With `save_model`, the trained network is written to
    that file. With `checkpoint`, the training's state (the network's, the optimizer's, the random
    generators') is written there after each epoch, and a training resumes from it if it is there.
    For `log` see `progress.Log`; `quiet` shows a bar in place of the printed lines.
    """

    epochs: int
    lr: float
    batch_size: int | None = None
    extend_data: bool = False
    normalize: bool = False
    data_root: str = common.DEFAULT_ROOT
    threads: int = 1
    save_model: str | None = None
    checkpoint: str | None = None
    test_each_epoch: bool = False
    log: str | None = None
    quiet: bool = False

    def __post_init__(self):
        if self.epochs < 1 or not 1 <= self.threads <= MAX_THREADS:
            raise RefusedError(
                f"epochs must be 1 or more and threads 1 to {MAX_THREADS}, not {self.epochs} and "
                f"{self.threads}"
            )


class Run:
    """A training on MNIST, within a `with` block.

    It has `train_loader` and `test_loader`, on the network's device; `epochs` and `report` for the
    arguments of `common.train_network` with these names; and `test()`, whose result goes into the
    log, too. PyTorch computes on `settings.threads` CPU threads meanwhile. At the end
    of the block the network is saved. `stateful`, by name, is what else a checkpoint keeps, such as
    `{"schedule": schedule}` of `torch.optim.lr_scheduler`. Raises RefusedError for files that can't
    be read or written, before the training.
    """

    def __init__(self, net, optimizer, loss_function, reshape_input, settings, stateful=None):
        self.net, self.optimizer, self.reshape_input = net, optimizer, reshape_input
        self.settings, self.stateful = settings, stateful
        data = {
            "root": settings.data_root,
            "transform": common.get_transform(settings.normalize),
            "batch_size": settings.batch_size,
            "device": common.get_device(net),
        }
        self.train_loader = common.get_train_loader(extend_data=settings.extend_data, **data)
        self.test_loader = common.get_test_loader(**data)
        self.description = states.describe(net, loss_function, data["transform"])
        self.bar = self.checkpoint = self.log = None
        self.first_epoch = 1

    def __enter__(self):
        settings = self.settings
        with contextlib.ExitStack() as stack:
            for file in (settings.save_model, settings.checkpoint, settings.log):
                if file is not None:
                    atomic.check_writable(file)
                    stack.enter_context(atomic.lock(file))
            if settings.save_model is not None:
                states.check_replaceable(settings.save_model, self.net)
            self._tell_of_unknown_arguments()
            self._open_checkpoint_and_log()
            if settings.quiet:
                self.bar = stack.enter_context(self._create_bar())
            stack.enter_context(use_threads(settings.threads))
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, kind, error, traceback):
        with self._exit_stack:
            if kind is None and self.settings.save_model is not None:
                states.save_model(self.net, self.settings.save_model, self.description)

    def _tell_of_unknown_arguments(self):
        unknown = states.list_unknown_arguments(self.net)
        if unknown and (self.settings.save_model or self.settings.checkpoint):
            print(
                f"a saved network will be made again without its {', '.join(unknown)}: keep each "
                "argument as an attribute of that name, a number, a string or a list of such",
                file=sys.stderr,
            )

    def _open_checkpoint_and_log(self):
        settings = self.settings
        identity = self.description | {  # what makes it this training and no other
            "repr": " ".join(repr(states.unwrap(self.net)).split()),
            **describe_optimizer(self.optimizer),
            "batch_size": self.train_loader.batch_size,
            "num_images": len(self.train_loader.dataset),
            "data": [
                common.name_data(loader.dataset) for loader in (self.train_loader, self.test_loader)
            ],
        }
        if settings.checkpoint is not None:
            self.checkpoint = Checkpoint(
                settings.checkpoint, identity, self.net, self.optimizer, self.stateful
            )
            self.first_epoch = 1 + self.checkpoint.resume(settings.epochs)
        if settings.log is not None:
            if self.first_epoch > 1:
                seed = torch.initial_seed()  # which the checkpoint has restored
            else:
                seed = find_seed(self.net, self.description["arguments"])
            if seed is None:
                print(
                    f"{settings.log} names no seed: call torch.manual_seed just before the network "
                    "is created to have one there",
                    file=sys.stderr,
                )
            training = identity | {
                "parameters": sum(parameter.numel() for parameter in self.net.parameters()),
                "epochs": settings.epochs,
                "seed": seed,
                "device": str(common.get_device(self.net)),
                "threads": settings.threads,
                "torch": torch.__version__,
                "python": platform.python_version(),
            }
            self.log = Log(settings.log, training, self.first_epoch if self.checkpoint else None)

    def _create_bar(self):
        from tqdm.auto import tqdm

        num_steps = len(self.train_loader)
        return tqdm(
            total=self.settings.epochs * num_steps,
            initial=(self.first_epoch - 1) * num_steps,
            unit="step",
            disable=False if "ipykernel" in sys.modules else None,  # None: if stderr is a file
        )

    @property
    def epochs(self):
        """The epochs that are left; between them, tests are made and the checkpoint is written."""
        for epoch in range(self.first_epoch, self.settings.epochs + 1):
            yield epoch
            if self.settings.test_each_epoch and epoch < self.settings.epochs:
                # Even a loader that doesn't shuffle draws from the random generator.
                with torch.random.fork_rng(devices=[]):
                    self.test()
            if self.checkpoint:
                self.checkpoint.write(epoch)
        if self.bar is not None:
            self.bar.close()

    def report(self, epoch, num_epochs, step, num_steps, loss):
        """Print the article's progress line, or move the bar; write the log."""
        if self.bar is None:
            common.print_progress(epoch, num_epochs, step, num_steps, loss)
        else:
            self.bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
            self.bar.update((epoch - 1) * num_steps + step - self.bar.n)
        if self.log is not None:
            self.log.report(epoch, num_epochs, step, num_steps, loss)

    def test(self):
        """Print and return the fraction of test images whose digit the network predicts."""
        if self.bar is not None:
            self.bar.clear()
        fraction = common.test_network(self.test_loader, self.net, self.reshape_input)
        if self.log is not None:
            self.log.add_test(fraction)
        return fraction


def find_seed(net, arguments):
    """Return the seed that `torch.manual_seed` was given just before the network was made, or None.

    It is tried: from that seed, the same class must get the same weights, and leave the random
    generator where it is now.
    """
    seed, state = torch.initial_seed(), torch.get_rng_state()
    try:
        torch.default_generator.manual_seed(seed)
        again = type(states.unwrap(net))(**arguments).state_dict()
        is_same = torch.equal(state, torch.get_rng_state()) and all(
            torch.equal(value.cpu(), again[name])
            for name, value in states.unwrap(net).state_dict().items()
        )
    except Exception:  # a class that can't be called so
        is_same = False
    finally:
        torch.set_rng_state(state)
    return seed if is_same else None


@contextlib.contextmanager
def use_threads(threads):
    """Have PyTorch compute on so many CPU threads within a `with` block."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
