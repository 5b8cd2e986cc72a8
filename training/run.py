"""An experiment from the data to its result: load, train, test, save; resumable on the way."""

import contextlib

import torch

import common
from files import atomic, models
from training.checkpoint import Checkpoint

NUM_THREADS = 1  # the fastest for steps as small as these; see benchmarks/speed.py


def train_and_test(
    model,
    train,
    reshape_input,
    *,
    optimizer=None,
    resume_only_with=None,
    batch_size=common.BATCH_SIZE,
    extend_data=False,
    threads=NUM_THREADS,
    data_root="./data",
    save_model=None,
    checkpoint=None,
    test_each_epoch=False,
):
    """Train the model, print an empty line, test it; return the test's result.

    `train(train_loader, first_epoch=..., after_epoch=...)` trains as `common.run_epochs`
    does. PyTorch computes on `threads` CPU threads meanwhile. With `save_model`, the trained
    weights are written to that file. With `checkpoint`, the training's state (the model's,
    the optimizer's, the random generators') is written to that file after each epoch, and
    taken from it if it is there, provided that batch size, data and what the dict
    `resume_only_with` names are still the same. With `test_each_epoch`, each epoch ends with
    a test, which leaves the training as it is. Raises RuntimeError, OSError or ValueError
    for files that can't be read or written, before the training.
    """
    for file in (save_model, checkpoint):
        if file is not None:
            atomic.check_writable(file)
    train_loader = common.get_train_loader(
        root=data_root, batch_size=batch_size, extend_data=extend_data
    )
    test_loader = common.get_test_loader(root=data_root)

    first_epoch = 1
    if checkpoint is not None:
        settings = {"batch_size": batch_size, "extend_data": extend_data, **resume_only_with}
        checkpoint = Checkpoint(checkpoint, settings, model, optimizer)
        first_epoch = 1 + checkpoint.resume()

    def after_epoch(epoch):
        if checkpoint is not None:
            checkpoint.write(epoch)
        if test_each_epoch:
            # Even a loader that doesn't shuffle draws from the random generator.
            with torch.random.fork_rng(devices=[]):
                common.test_network(test_loader, model, reshape_input)

    with use_threads(threads):
        train(train_loader, first_epoch=first_epoch, after_epoch=after_epoch)
        print()
        result = common.test_network(test_loader, model, reshape_input)

    if save_model is not None:
        models.save_model(model, save_model)
    return result


@contextlib.contextmanager
def use_threads(threads):
    """Have PyTorch compute on so many CPU threads within a `with` block."""
    threads_before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
