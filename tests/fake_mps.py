"""A device that is none: tensors of the CPU that say they are on "mps", where PyTorch has its
public operators alone.

Within `FakeMPS()` every tensor's device is mps; an operator under a private name, one of another
library's namespace, and any float64 raise, as they would there.
"""

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

MPS = torch.device("mps")


def on_cpu(value: object) -> object:
    """A call's argument, the CPU where it names the device."""
    named = isinstance(value, str | torch.device) and str(value) == "mps"
    return torch.device("cpu") if named else value


def private(function: object) -> bool:
    """Is it torch.ops.LIBRARY.NAME, and not a public operator of PyTorch's own?"""
    library, _, name = str(getattr(function, "_qualified_op_name", "")).partition("::")
    return bool(name) and library != "profiler" and (library != "aten" or name.startswith("_"))


class FakeMPS(TorchFunctionMode):
    """See the head of the file."""

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function == torch.Tensor.device.__get__:
            return MPS
        if private(function):
            raise NotImplementedError(f"{function} is not implemented for the device mps")
        args, kwargs = tree_map(on_cpu, (args, kwargs or {}))
        out = function(*args, **kwargs)
        for leaf in tree_leaves(out):
            if isinstance(leaf, torch.Tensor) and leaf.dtype == torch.float64:
                raise TypeError(f"{function}: the MPS framework doesn't support float64")
        return out
