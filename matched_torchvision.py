"""torchvision's `datasets` and `transforms`, or one line that says why they can't be had.

torchvision brings compiled operators that fit one release of torch only. Beside another
one, as after mixing two package indexes, its import fails with "operator torchvision::nms
does not exist", which tells a newcomer nothing.
"""

import sys

import torch

try:
    from torchvision import datasets, transforms
except RuntimeError as error:
    # Nothing works in this process from here on, so the explanation stands alone: a script
    # ends with this one line, and an interactive session survives it.
    sys.tracebacklimit = 0
    raise ImportError(
        f"the installed torchvision was built for another torch than {torch.__version__} "
        f"({error}); reinstall the two together, from one package index: "
        "pip install --force-reinstall torch torchvision"
    ) from None

__all__ = ["datasets", "transforms"]
