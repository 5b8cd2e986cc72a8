"""Training steps made by `torch.compile`: forward, backward and update as one function.

A step of ten images is mostly overhead: of Python, of the dispatch of some thirty small
operations, of the call itself. So several steps are traced as one graph, from the batches
to the updated weights, and compiled together. It works for any `nn.Module`, and for the
optimizers whose step needs no closure, as PyTorch's do but for LBFGS.
"""

import inspect
import itertools
import sys
import time
import warnings

import torch
from torch.func import functional_call, grad_and_value

STEPS_AT_ONCE = 10


def compile_steps(model, optimizer, reshape_input, calc_loss, *, is_resumed=False):
    """Return a `take_steps` for `common.run_epochs`; its losses agree with the eager ones.

    `is_resumed` says that the optimizer has its state already. Raises RuntimeError, when it
    takes the first steps, if there is no compiler.
    """
    parameters = {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    buffers = dict(model.named_buffers())
    # The graph writes the gradients here, where the optimizer looks for them.
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
    # Optimizer.step is wrapped in profiling and graph breaks; inside is the update alone.
    update = inspect.unwrap(type(optimizer).step)

    def calc_loss_with(parameters, buffers, images, expected_outputs):
        outputs = functional_call(model, (parameters, buffers), (reshape_input(images),))
        return calc_loss(outputs, expected_outputs)

    def take_step(images, expected_outputs):
        calc_gradients = grad_and_value(calc_loss_with)
        gradients, loss = calc_gradients(parameters, buffers, images, expected_outputs)
        for name, parameter in parameters.items():
            parameter.grad.copy_(gradients[name])
        update(optimizer)
        return loss

    @torch.no_grad()
    def take_block(images, expected_outputs):
        return torch.stack(
            [take_step(*batch) for batch in zip(images, expected_outputs, strict=True)]
        )

    compiled_block = _report_compilation(
        torch.compile(take_block, fullgraph=True, dynamic=False, options=_get_options(parameters))
    )
    has_state = is_resumed

    def take_steps(batches):
        nonlocal has_state
        model.train()
        batches = iter(batches)
        while block := list(itertools.islice(batches, STEPS_AT_ONCE)):
            all_images, all_expected_outputs = zip(*block, strict=True)
            # The very first block runs uncompiled: it lets the optimizer create its state. So
            # do a block that is too short and a batch that is: they'd need graphs of their own.
            is_whole = len(block) == STEPS_AT_ONCE and len({len(i) for i in all_images}) == 1
            if has_state and is_whole:
                losses = compiled_block(torch.stack(all_images), torch.stack(all_expected_outputs))
            else:
                losses = take_block(all_images, all_expected_outputs)
            has_state = True
            for loss in losses.unbind():
                yield loss.item

    return take_steps


def _get_options(parameters):
    return {
        # Dropout draws the random numbers that it draws uncompiled.
        "fallback_random": True,
        # One of its patterns, add(w, mm(a, b), alpha=-lr) to addmm, loses the alpha, and so
        # the learning rate: seen with torch 2.14; pytorch/pytorch issue 167313 is akin.
        "pattern_matcher": False,
        "triton.cudagraphs": any(parameter.is_cuda for parameter in parameters.values()),
    }


def _report_compilation(function):
    """Tell on stderr how long the first call took, and explain a missing compiler."""
    is_first = True

    def call(*arguments):
        nonlocal is_first
        if not is_first:
            return function(*arguments)
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                # One-hot expansion caches its identity matrix; the graph just makes a new one.
                warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools")
                result = function(*arguments)
        except RuntimeError as error:
            if "compiler" not in str(error).lower():
                raise
            raise RuntimeError(
                "--compile needs a C++ compiler, and found none that works; install one "
                "(Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: "
                "xcode-select --install) or name it in the environment variable CXX"
            ) from error
        seconds = time.perf_counter() - start
        print(f"compiled {STEPS_AT_ONCE} steps in {seconds:.1f} s", file=sys.stderr, flush=True)
        is_first = False
        return result

    return call
