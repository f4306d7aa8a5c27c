"""Tensors between guard bands: whatever is written beside them, or read from there, shows."""

import torch

GUARD, GUARD_BYTE, POISON = 4096, 0xA5, 0xFF  # all bits set is NaN in every float dtype


class Guarded:
    def __init__(self, plugin, shape, dtype, strides=None):
        size = torch.empty(0, dtype=dtype).element_size()
        if strides is None:
            strides = [1] * len(shape)
            for axis in range(len(shape) - 2, -1, -1):
                strides[axis] = strides[axis + 1] * shape[axis + 1]
        length = 1 + sum((extent - 1) * stride for extent, stride in zip(shape, strides)) if 0 not in shape else 0
        self.bytes = max(length, 1) * size
        padded = -(-self.bytes // 256) * 256
        self.memory = plugin.bytes(GUARD + padded + GUARD)
        self.memory.fill_(GUARD_BYTE)
        self.payload = self.memory[GUARD : GUARD + self.bytes]
        self.payload.fill_(POISON)
        self.tensor = self.payload.view(dtype).as_strided(shape, strides)

    def poison(self):
        self.payload.fill_(POISON)

    def fault(self):
        """None, or what was written where nothing should be."""
        if not bool((self.memory[:GUARD] == GUARD_BYTE).all()):
            return "wrote before its buffer"
        if not bool((self.memory[GUARD + self.bytes :] == GUARD_BYTE).all()):
            return "wrote behind its buffer"
        rest = self.payload.clone()
        gaps = rest.view(self.tensor.dtype).as_strided(self.tensor.shape, self.tensor.stride())
        gaps.view(torch.int32 if gaps.element_size() == 4 else torch.int16).fill_(-1)
        return None if bool((rest == POISON).all()) else "wrote between its rows"


def strides_of(shape, kind):
    """Of [batch, rows, heads, dim]: dense, with room between heads (padded: still 16-byte rows; odd: not), or with the
    rows innermost (transposed)."""
    batch, rows, heads, dim = shape
    if kind == "transposed":
        return [heads * dim * rows, 1, dim * rows, rows]
    room = {"padded": 8, "odd": 3}.get(kind, 0)
    row = heads * (dim + room) + (room and dim)
    return [rows * row, row, dim + room, 1]
