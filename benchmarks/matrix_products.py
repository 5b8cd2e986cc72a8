"""The floor under a training step: its five matrix products, and nothing else.

A step on ten images multiplies 10x784 by 784x100 and 10x100 by 100x10 forward, 10x10 by
10x100 back, and adds 10x10 times 10x100 and 100x10 times 10x784 to the weights: 3.1 million
floating-point operations. What it prints has the form of a training's progress lines.
"""

import argparse

import torch


def run_epoch(num_steps, batch_size):
    a_l0 = torch.rand(batch_size, 784)
    a_l1, delta_l1 = torch.zeros(2, batch_size, 100)
    a_l2, delta_l2 = torch.zeros(2, batch_size, 10)
    w_l1, w_l2 = torch.rand(100, 784), torch.rand(10, 100)
    w_l1_T, w_l2_T, delta_l1_T, delta_l2_T = w_l1.t(), w_l2.t(), delta_l1.t(), delta_l2.t()

    for _ in range(num_steps):
        torch.mm(a_l0, w_l1_T, out=a_l1)
        torch.mm(a_l1, w_l2_T, out=a_l2)
        torch.mm(delta_l2, w_l2, out=delta_l1)
        w_l2.addmm_(delta_l2_T, a_l1)
        w_l1.addmm_(delta_l1_T, a_l0)


def main():
    parser = argparse.ArgumentParser(description="Time the matrix products of training steps.")
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=10)
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    num_steps = 60_000 // arguments.batch_size
    for epoch in range(1, arguments.epochs + 1):
        run_epoch(num_steps, arguments.batch_size)
        print(f"Epoch [{epoch}/{arguments.epochs}], Step [{num_steps}/{num_steps}]", flush=True)


if __name__ == "__main__":
    main()
