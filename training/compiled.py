"""`train_network` by `torch.compile`: forward, backward and update as one function.

A step of ten images is mostly overhead: of Python, of the dispatch of some thirty small
operations, of the call itself. So several steps are traced as one graph, from the batches
to the updated weights, and compiled together. It works for any `nn.Module` without a graph
break, and for the optimizers whose step needs no closure: PyTorch's except for LBFGS.
"""

import contextlib
import inspect
import itertools
import sys
import time

import torch
from torch.func import functional_call, grad_and_value

import common

STEPS_AT_ONCE = 10


def train_network(
    data_loader, model, num_epochs, optimizer, reshape_input, calc_loss, *, epochs=None
):
    """Fit the model as `common.train_network` does; the losses agree to about 1e-4.

    Raises RuntimeError if there is no compiler, or if the model can't be compiled.
    """
    device = common.get_device(model)
    num_steps = len(data_loader)
    take_steps = create_steps(model, optimizer, reshape_input, calc_loss)
    take_steps_compiled = compile_steps(take_steps, optimizer, device)

    for epoch in range(1, num_epochs + 1) if epochs is None else epochs:
        model.train()
        step = 0
        batches = ((images.to(device), labels.to(device)) for images, labels in data_loader)
        while block := list(itertools.islice(batches, STEPS_AT_ONCE)):
            all_images, all_labels = zip(*block, strict=True)
            # The first block of an epoch runs uncompiled: in it, the optimizer creates its state,
            # and so a resumed training computes what an uninterrupted one does. A block or a
            # batch that is too short would need a graph of its own.
            is_whole = len(block) == STEPS_AT_ONCE and len({len(i) for i in all_images}) == 1
            if step > 0 and is_whole:
                losses = take_steps_compiled(torch.stack(all_images), torch.stack(all_labels))
            else:
                losses = take_steps(all_images, all_labels)

            for loss in losses.unbind():
                step += 1
                if step % 100 == 0 or step == num_steps:
                    common.print_progress(epoch, num_epochs, step, num_steps, loss.item())


def create_steps(model, optimizer, reshape_input, calc_loss):
    """Return a function that takes a step of training for each of several batches.

    Its arguments are the batches' images and labels, its result the losses, float32 [steps].
    """
    parameters = {
        name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad
    }
    buffers = dict(model.named_buffers())
    # The graph writes the gradients here, where the optimizer looks for them.
    for parameter in parameters.values():
        parameter.grad = torch.zeros_like(parameter)
        torch._dynamo.mark_static_address(parameter.grad)  # CUDA graphs ask for it
    # Optimizer.step is wrapped in profiling and graph breaks; inside is the update alone.
    update = inspect.unwrap(type(optimizer).step)

    def calc_loss_with(parameters, buffers, images, labels):
        outputs = functional_call(model, (parameters, buffers), (reshape_input(images),))
        return calc_loss(outputs, labels)

    def take_step(images, labels):
        calc_gradients = grad_and_value(calc_loss_with)
        gradients, loss = calc_gradients(parameters, buffers, images, labels)
        for name, parameter in parameters.items():
            parameter.grad.copy_(gradients[name])
        update(optimizer)
        return loss

    @torch.no_grad()
    def take_steps(all_images, all_labels):
        batches = zip(all_images, all_labels, strict=True)
        return torch.stack([take_step(images, labels) for images, labels in batches])

    return take_steps


def compile_steps(take_steps, optimizer, device):
    """Return `take_steps` compiled; the first call says on stderr how long that took."""
    options = {
        # Dropout draws on CUDA, too, the random numbers that it draws uncompiled.
        "fallback_random": True,
        # One of its patterns, add(w, mm(a, b), alpha=-lr) to addmm, loses the alpha, and so
        # the learning rate: seen with torch 2.14; pytorch/pytorch issue 167313 is akin.
        "pattern_matcher": False,
        "triton.cudagraphs": device.type == "cuda",
    }
    torch.compiler.reset()  # or the ninth training of a process would be one recompilation too many
    compiled = torch.compile(take_steps, fullgraph=True, dynamic=False, options=options)
    lr_tensors = [torch.tensor(0.0, dtype=torch.float64) for _ in optimizer.param_groups]
    is_first = True

    def call(images, labels):
        nonlocal is_first
        with _learning_rates_in(lr_tensors, optimizer):
            if not is_first:
                return compiled(images, labels)
            is_first = False
            start = time.perf_counter()
            losses = _explain_errors(compiled, images, labels)
        seconds = time.perf_counter() - start
        print(f"compiled {STEPS_AT_ONCE} steps in {seconds:.1f} s", file=sys.stderr, flush=True)
        return losses

    return call


@contextlib.contextmanager
def _learning_rates_in(tensors, optimizer):
    """Let the optimizer have its learning rates in tensors: inputs of the graph, which may change.

    A number would be compiled into the graph, and each new one compiled again.
    """
    learning_rates = [group["lr"] for group in optimizer.param_groups]
    for group, tensor in zip(optimizer.param_groups, tensors, strict=True):
        group["lr"] = tensor.fill_(group["lr"])
    try:
        yield
    finally:
        for group, learning_rate in zip(optimizer.param_groups, learning_rates, strict=True):
            group["lr"] = learning_rate


def _explain_errors(compiled, *arguments):
    from torch._dynamo.exc import Unsupported
    from torch._inductor.exc import InductorError, InvalidCxxCompiler

    try:
        return compiled(*arguments)
    except InductorError as error:
        if not isinstance(error.inner_exception, InvalidCxxCompiler):
            raise
        raise RuntimeError(
            "--compile needs a C++ compiler, and found none that works; install one "
            "(Debian, Ubuntu: apt install g++; Fedora: dnf install gcc-c++; macOS: "
            "xcode-select --install) or name it in the environment variable CXX"
        ) from error
    except Unsupported as error:
        reason = str(error).split("\n")[0]
        raise RuntimeError(
            f"this network can't be compiled as one graph ({reason}); train it without --compile"
        ) from error
