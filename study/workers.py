"""One process, or several that torchrun started, here or on several machines."""

import os

import torch
import torch.distributed as dist


def join():
    """Return this process's rank, the number of ranks, and the store that they share.

    A process that torchrun didn't start is alone. The store is the launcher's: it outlives
    a rank, so that one that is restarted finds in it what was there before.
    """
    if not dist.is_torchelastic_launched():
        return 0, 1, dist.HashStore()
    store, rank, size = next(dist.rendezvous("env://"))
    if torch.accelerator.is_available():
        local_rank = int(os.environ["LOCAL_RANK"])
        torch.accelerator.set_device_index(local_rank % torch.accelerator.device_count())
    return rank, size, dist.PrefixStore("reproduce", store)
