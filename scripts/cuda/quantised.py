"""Q8_0 and Q4_0 in torch, from ggml's definitions: blocks of 32 along a row, one float16 scale each."""

import torch

FORMATS = {"q8_0": (7, 34), "q4_0": (8, 18)}  # place in the dtype list of csrc/core/dtype.h, bytes of a block


def quantised(weight, name):
    """The weight [rows, columns] that the packed one stands for, in float64."""
    rows, columns = weight.shape
    x = torch.nn.functional.pad(weight.float(), (0, -columns % 32)).reshape(rows, -1, 32)
    furthest = x.gather(-1, x.abs().argmax(-1, keepdim=True))
    scale = furthest.abs() / 127 if name == "q8_0" else furthest / -8
    level = x * torch.where(scale == 0, 0.0, 1 / scale)
    if name == "q8_0":
        level = level.sign() * (level.abs() + 0.5).floor()
    else:
        level = (level + 8.5).floor().clamp(max=15) - 8
    return (level.double() * scale.half().double()).reshape(rows, -1)[:, :columns]
