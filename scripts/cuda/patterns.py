"""Patterns twice over: as the plugin takes them, and as a boolean mask that torch makes from their definition alone."""

import ctypes

import torch

from plugin import FlatPattern

UNBOUNDED = 1 << 30


class Lengths:
    """Of one sequence: query q stands at position q + start among the keys."""

    def __init__(self, queries, keys, device):
        self.queries, self.keys, self.start, self.device = queries, keys, keys - queries, device
        self.p = torch.arange(queries, device=device)[:, None] + self.start
        self.k = torch.arange(keys, device=device)[None, :]
        self.base = max(self.start, 0)


def ints(values):
    return (ctypes.c_int * max(len(values), 1))(*values)


def floor_div(a, b):
    return torch.div(a, b, rounding_mode="floor")


def full(at, random, head):
    return "full", [], [], torch.ones(at.queries, at.keys, dtype=torch.bool, device=at.device)


def causal(at, random, head):
    return "window", [UNBOUNDED, 0], [], at.k <= at.p


def window(at, random, head):
    before, after = random.choice([(0, 0), (7, 3), (63, 0), (64, 64), (500, 0), (30, -5)])
    return "window", [before, after], [], (at.k >= at.p - before) & (at.k <= at.p + after)


def window_per_head(at, random, head):
    before = [15, 64, 200, UNBOUNDED][head % 4]
    return "window", [before, 0], [], (at.k >= at.p - before) & (at.k <= at.p)


def sinks(at, random, head):
    tokens, before = random.choice([(4, 31), (1, 200), (70, 64)])
    return "sinks", [tokens, before, 0], [], (at.k <= at.p) & ((at.k < tokens) | (at.k >= at.p - before))


def prefix(at, random, head):
    tokens = random.choice([0, 5, 40, 300])
    return "prefix", [tokens], [], (at.k < tokens) | (at.k <= at.p)


def chunks(at, random, head):
    size, shift, before, after, only_past = random.choice([(32, 0, 0, 0, 1), (50, 20, 1, 1, 0), (64, 0, 2, -1, 0)])
    own, other = floor_div(at.p + shift, size), floor_div(at.k + shift, size)
    mask = (other >= own - before) & (other <= own + after)
    return "chunks", [size, shift, before, after, only_past], [], mask & (at.k <= at.p) if only_past else mask


def documents(at, random, head):
    inner = sorted(random.sample(range(1, max(at.keys, 4)), min(3, max(at.keys - 1, 0))))
    begins, only_past = [0, *inner], random.choice([0, 1])
    edges = torch.tensor(begins, device=at.device)
    of_query = torch.bucketize(at.p.clamp(min=0), edges, right=True)
    mask = (of_query == torch.bucketize(at.k, edges, right=True)) & (at.p >= 0)
    return "documents", [len(begins), only_past], [ints(begins)], mask & (at.k <= at.p) if only_past else mask


def dilated_window(at, random, head):
    rate, before, after, skip = random.choice([(2, 16, 0, 0), (3, 20, 5, 0), (7, 100, 0, 2)])
    distance = at.p - at.k
    steps = floor_div(distance, rate)
    mask = (distance % rate == 0) & (steps <= before) & (-steps <= after) & ((steps >= skip) | (steps < 0))
    return "dilatedWindow", [rate, before, after, skip], [], mask


def longnet(at, random, head):
    segment, rate, only_past = random.choice([(32, 2, 1), (64, 4, 0), (256, 3, 1), (UNBOUNDED, 4, 1)])
    phase = head % rate
    mask = (at.p >= 0) & (floor_div(at.p, segment) == floor_div(at.k, segment))
    mask = mask & (at.p % segment % rate == phase) & (at.k % segment % rate == phase)
    numbers = [segment, rate, phase, only_past, 0]
    return "dilated", numbers, [], mask & (at.k <= at.p) if only_past else mask


def block_lists(at, random, block_q, block_kv):
    rows = -(-(at.base + at.queries) // block_q)
    columns = -(-at.keys // block_kv)
    share = random.choice([0.1, 0.4, 0.8])
    lists = [[c for c in range(columns) if random.random() < share] for _ in range(rows)]
    if rows > 1:
        lists[rows // 2] = []  # queries that see nothing
    chosen = torch.zeros(max(rows, 1), max(columns, 1), dtype=torch.bool)
    for row, members in enumerate(lists):
        chosen[row, members] = True
    rows_of = (torch.arange(at.queries, device=at.device) + at.base) // block_q
    mask = chosen.to(at.device)[rows_of][:, torch.arange(at.keys, device=at.device) // block_kv]
    return lists, chosen, mask


def blocks(at, random, head):
    block_q, block_kv = random.choice([(16, 16), (64, 64), (128, 128), (48, 80)])
    lists, _, mask = block_lists(at, random, block_q, block_kv)
    starts = [sum(len(row) for row in lists[:i]) for i in range(len(lists) + 1)]
    numbers = [block_q, block_kv, at.base, 0, len(lists), 0]
    return "blocks", numbers, [ints(starts), ints([c for row in lists for c in row])], mask


def block_rows(at, random, head):
    block_q, block_kv = random.choice([(1, 64), (64, 32)])
    lists, _, mask = block_lists(at, random, block_q, block_kv)
    width = max([len(row) for row in lists] + [1]) + 1
    flat = [c for row in lists for c in [*row, *[-1] * (width - len(row))]]
    return "blocks", [block_q, block_kv, at.base, 0, len(lists), width], [None, ints(flat)], mask


def elements(at, random, head):
    block_q, block_kv = random.choice([(1, 1), (32, 16)])
    lists, chosen, mask = block_lists(at, random, block_q, block_kv)
    packed = bytes(chosen.to(torch.uint8).flatten().tolist())
    numbers = [at.base, block_q, block_kv, 0, chosen.shape[0], 0, chosen.shape[1]]
    return "elements", numbers, [(ctypes.c_uint8 * len(packed)).from_buffer_copy(packed)], mask


def global_keys(at, random, head):
    bounds = [1, 3, 20, 21, 40, 90]
    mask = sum((at.k >= bounds[i]) & (at.k < bounds[i + 1]) for i in range(0, 6, 2)) > 0
    return "keys", [3], [ints(bounds)], mask.expand(at.queries, at.keys)


def diagonals(at, random, head):
    offsets = [0, 1, 5, 17, 64, 200]
    distance = at.p - at.k
    mask = sum(distance == offset for offset in offsets) > 0
    return "diagonals", [1, len(offsets)], [ints(offsets)], mask


def residues(at, random, head):
    mask = (at.k % 16 >= 13) & (at.k % 16 < 16)
    return "residues", [16, 13, 16], [], mask.expand(at.queries, at.keys)


PATTERNS = {
    "full": full,
    "causal": causal,
    "window": window,
    "window per head": window_per_head,
    "window and sinks": sinks,
    "prefix": prefix,
    "chunks": chunks,
    "documents": documents,
    "dilated window": dilated_window,
    "LongNet": longnet,
    "blocks": blocks,
    "block rows": block_rows,
    "elements": elements,
    "keys": global_keys,
    "diagonals": diagonals,
    "residues": residues,
}
PER_HEAD = {"window per head", "LongNet"}


def flat(kind, numbers, lists, queries, keys, start):
    made = FlatPattern(kind=kind.encode(), seqLenQ=queries, seqLenKV=keys, start=start)
    made.numbers[: len(numbers)] = numbers
    for i, values in enumerate(lists):
        made.lists[i] = None if values is None else ctypes.addressof(values)
    return made


def make(plugin, name, sequences, heads, seed_random):
    """The plugin's pattern for all sequences, and for each a mask [heads or 1, queries, keys]."""
    heads = heads if name in PER_HEAD else 1
    flats, kept, masks = [], [], []
    for queries, keys in sequences:
        at = Lengths(queries, keys, plugin.device)
        own = []
        state = seed_random.getstate()
        for head in range(heads):
            seed_random.setstate(state)  # heads differ by their number alone
            kind, numbers, lists, mask = PATTERNS[name](at, seed_random, head)
            flats.append(flat(kind, numbers, lists, queries, keys, at.start))
            kept.append(lists)
            own.append(mask)
        masks.append(torch.stack(own))
    same = len(sequences) > 1 and all(s == sequences[0] for s in sequences[1:])
    return plugin.pattern(flats, len(sequences), heads, kept), masks, same
