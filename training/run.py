"""What a training needs around its loops: threads, checkpoints, tests, a saved network."""

import contextlib
import inspect
import itertools
import platform

import torch

import common
from files import atomic, models
from training import progress
from training.checkpoint import Checkpoint, describe, read_seed


@contextlib.contextmanager
def start_run(
    model,
    optimizer,
    train_loader,
    num_epochs,
    test,
    *,
    compile=False,
    threads=1,
    save_model=None,
    checkpoint=None,
    test_each_epoch=False,
    log=None,
    quiet=False,
    **unknown,
):
    """Within a `with` block, yield the epochs to train, 1 to `num_epochs`, as an iterable.

    PyTorch computes on `threads` CPU threads meanwhile. With `save_model`, the model's weights
    are written to that file at the end of the block. With `checkpoint`, the training's state (the
    model's, the optimizer's, the random generators') is written to that file after each epoch, and
    restored from it if it is there: then only the epochs that are left are yielded. With
    `test_each_epoch`, `test()` is called after each epoch. For `log` and `quiet` see
    `progress.follow`. Raises OSError or ValueError for files that can't be read or written, before
    the training.
    """
    if unknown:
        options = inspect.signature(start_run).parameters.values()
        names = [option.name for option in options if option.kind is option.KEYWORD_ONLY]
        raise TypeError(
            f"unknown setting {', '.join(unknown)}; run_network takes epochs, lr, batch_size, "
            f"normalize, data_root, {', '.join(names)}"
        )
    files = {"model": save_model, "checkpoint": checkpoint, "log": log}
    files = {name: file for name, file in files.items() if file is not None}
    for (name, file), (other_name, other) in itertools.combinations(files.items(), 2):
        if atomic.resolve(file) == atomic.resolve(other):
            raise ValueError(f"{name} and {other_name} can't be the same file, {other}")
    if checkpoint is not None:
        atomic.check_writable(checkpoint)
    if save_model is not None:
        models.check_replaceable(save_model)
    if num_epochs < 1:
        raise ValueError(f"the number of epochs must be at least 1, not {num_epochs}")

    settings = describe(
        model,
        optimizer,
        compile=compile,
        batch_size=train_loader.batch_size,
        num_images=len(train_loader.dataset),
        transform=" ".join(str(getattr(train_loader.dataset, "transform", None)).split()),
    )
    seed = None
    if checkpoint is not None:
        if log is not None:
            seed = read_seed(checkpoint)
        checkpoint = Checkpoint(checkpoint, settings, model, optimizer)
    training = settings | {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "epochs": num_epochs,
        "seed": torch.initial_seed() if seed is None else seed,
        "device": str(common.get_device(model)),
        "threads": threads,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
    with (
        use_threads(threads),
        checkpoint.lock() if checkpoint else contextlib.nullcontext(),
        progress.follow(log, quiet, training, has_checkpoint=checkpoint is not None),
    ):
        yield _iterate_epochs(num_epochs, checkpoint, test if test_each_epoch else None)

    if save_model is not None:
        models.save_model(model, save_model, normalized="Normalize" in settings["transform"])


def _iterate_epochs(num_epochs, checkpoint, test):
    """Yield the epochs that are left; after each, test, and write the checkpoint."""
    first_epoch = 1 + checkpoint.resume(num_epochs) if checkpoint else 1
    for epoch in range(first_epoch, num_epochs + 1):
        yield epoch
        if test:
            # Even a loader that doesn't shuffle draws from the random generator.
            with torch.random.fork_rng(devices=[]):
                test()
        if checkpoint:
            checkpoint.write(epoch)


@contextlib.contextmanager
def use_threads(threads):
    """Have PyTorch compute on so many CPU threads within a `with` block."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
