"""Attention against float64: cases sampled so that every pair of choices meets, each run twice."""

import ctypes
import itertools
import math
import random

import torch

import patterns
from buffers import Guarded, strides_of
from plugin import DTYPES, AttentionArgs, CacheAppendArgs, KernelError, KVCacheView, MergeArgs, SequenceView, TensorView
from plugin import address, view
from reference import Terms, attend

DTYPE_OF = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}
BOUND = {"bf16": 5e-3, "f16": 1e-3, "f32": 4e-6}
FLOOR = {"bf16": 2e-4, "f16": 5e-5, "f32": 2e-6}  # below it, twice the error of torch says nothing
EPSILON = {"bf16": 2**-8, "f16": 2**-11, "f32": 2**-22}

SCORES = ["softcap", "ALiBi", "bias", "sink logits", "query scale", "distance bias", "expire spans"]
FACTORS = {
    "feature": [*patterns.PATTERNS, *SCORES],
    "lengths": [
        (1, 1),
        (1, 4097),
        (17, 33),
        (64, 64),
        (127, 129),
        (128, 128),
        (129, 65),
        (1000, 1024),
        (2048, 2048),
        (4096, 8192),
    ],
    "headDim": [64, 96, 128, 192, 256, 40],
    "dtype": ["bf16", "f16", "f32"],
    "heads": [(8, 8), (8, 2), (8, 1)],
    "layout": ["dense", "varlen", "paged", "cache"],
    "inputs": ["normal", "large", "constant", "padded", "odd", "transposed"],
}
QUICK_LENGTHS = [(1, 1), (1, 70), (17, 33), (64, 64), (33, 65), (65, 33), (3, 130)]


def allowed(case):
    dense_only = case["feature"] in ("bias", "query scale", "expire spans")  # packed sequences take none of these
    if dense_only and case["layout"] in ("varlen", "paged"):
        return False
    long = case["lengths"][0] * case["lengths"][1] > 1 << 23
    return not (long and (case["layout"] in ("varlen", "paged") or case["dtype"] == "f32"))


def pairs_of(case):
    items = [(name, case[name]) for name in FACTORS]
    return set(itertools.combinations(items, 2))


def sample(count, quick, seed=20261120):
    """`count` cases: first those that cover most pairs of choices not yet met; then at random."""
    factors = dict(FACTORS, lengths=QUICK_LENGTHS, headDim=[64, 128, 40]) if quick else FACTORS
    draw = random.Random(seed)
    met, cases = set(), []
    while len(cases) < count:
        candidates = []
        while len(candidates) < 60:
            case = {name: draw.choice(values) for name, values in factors.items()}
            if allowed(case):
                candidates.append(case)
        best = max(candidates, key=lambda case: len(pairs_of(case) - met))
        met |= pairs_of(best)
        cases.append(dict(best, seed=len(cases)))
    return cases


def name_of(case):
    values = [case["feature"], case["dtype"], f"d{case['headDim']}", "x".join(map(str, case["lengths"]))]
    values += ["heads " + "/".join(map(str, case["heads"])), case["layout"], case["inputs"]]
    return f"{case['seed']:03d} " + ", ".join(values)


class Inputs:
    """The sequences of a case: their tensors as the plugin gets them, and as separate ones for the reference."""

    def __init__(self, case, plugin):
        self.case, self.plugin, self.device = case, plugin, plugin.device
        self.dtype = DTYPE_OF[case["dtype"]]
        self.heads, self.kv_heads = case["heads"]
        self.dim = case["headDim"]
        self.value_dim = {192: 128, 40: 24}.get(self.dim, self.dim) if case["seed"] % 2 else self.dim
        self.draw = random.Random(case["seed"])
        self.generator = torch.Generator(device=self.device).manual_seed(case["seed"])
        queries, keys = case["lengths"]
        self.sequences = {
            "dense": [(queries, keys)] * (2 if queries * keys < 1 << 22 else 1),
            "cache": [(queries, keys)],
            "paged": [(queries, keys), (queries, max(keys - 7, 1)), (queries, 0)],
            "varlen": [(queries, keys), (0, 5), (queries // 2 + 1, keys // 2 + 1), (3, 0), (1, keys), (0, 0)],
        }[case["layout"]]
        self.kept = []

    def fill(self, tensor, scale):
        if self.case["inputs"] == "constant":
            ramp = torch.linspace(-1, 1, tensor.shape[-1], device=self.device)
            tensor.copy_(ramp.expand(tensor.shape) * 0.5)
        else:
            values = torch.randn(tensor.shape, generator=self.generator, device=self.device)
            tensor.copy_(values * scale)

    def tensor(self, shape, scale=1.0):
        kind = self.case["inputs"] if self.case["inputs"] in ("padded", "odd", "transposed") else "dense"
        guarded = Guarded(self.plugin, shape, self.dtype, strides_of(shape, kind))
        self.kept.append(guarded)
        if scale:
            self.fill(guarded.tensor, scale)
        return guarded.tensor

    def make(self):
        large = 8.0 if self.case["inputs"] == "large" else 1.0
        layout, n = self.case["layout"], len(self.sequences)
        if layout == "varlen":
            q_rows, k_rows = sum(s[0] for s in self.sequences), sum(s[1] for s in self.sequences)
            self.q = self.tensor((1, q_rows, self.heads, self.dim), large)
            self.k = self.tensor((1, k_rows, self.kv_heads, self.dim), large)
            self.v = self.tensor((1, k_rows, self.kv_heads, self.value_dim), 1.0)
        elif layout == "paged":
            self.make_pages(large)
        else:
            queries, keys = self.sequences[0]
            self.q = self.tensor((n, queries, self.heads, self.dim), large)
            self.k = self.tensor((n, keys, self.kv_heads, self.dim), large)
            self.v = self.tensor((n, keys, self.kv_heads, self.value_dim), 1.0)
        return self

    def make_pages(self, large):
        """Pages in a shuffled order; what no sequence uses, rows behind the last key included, is NaN."""
        self.page_size = self.draw.choice([16, 64, 128])
        needed = [-(-keys // self.page_size) for _, keys in self.sequences]
        total = sum(needed) + 3
        self.q = self.tensor((len(self.sequences), self.sequences[0][0], self.heads, self.dim), large)
        self.k = self.tensor((total, self.page_size, self.kv_heads, self.dim), 0)
        self.v = self.tensor((total, self.page_size, self.kv_heads, self.value_dim), 0)
        order = self.draw.sample(range(total), sum(needed))
        self.pages = [[order.pop() for _ in range(count)] for count in needed]
        for (_, keys), own in zip(self.sequences, self.pages):
            for i, page in enumerate(own):
                rows = min(self.page_size, keys - i * self.page_size)
                self.fill(self.k[page, :rows], large)
                self.fill(self.v[page, :rows], 1.0)

    def sequence(self, i):
        """q, k and v of one sequence, [rows, heads, dim]."""
        queries, keys = self.sequences[i]
        layout = self.case["layout"]
        if layout == "varlen":
            q0, k0 = (sum(s[axis] for s in self.sequences[:i]) for axis in (0, 1))
            return self.q[0, q0 : q0 + queries], self.k[0, k0 : k0 + keys], self.v[0, k0 : k0 + keys]
        if layout == "paged":
            own = torch.tensor(self.pages[i], dtype=torch.int64, device=self.device)
            k, v = (t[own].flatten(0, 1)[:keys] for t in (self.k, self.v))
            return self.q[i], k, v
        return self.q[i], self.k[i], self.v[i]


def terms_of(case, inputs):
    heads, (queries, keys) = inputs.heads, case["lengths"]
    random_of = lambda *shape: torch.randn(shape, generator=inputs.generator, device=inputs.device)
    terms = Terms(1 / math.sqrt(inputs.dim))
    feature = case["feature"]
    if feature == "softcap":
        terms.softcap = 15.0
    elif feature == "ALiBi":
        terms.slopes = torch.tensor([2.0 ** -(h + 1) for h in range(heads)], device=inputs.device)
    elif feature == "bias":
        rows = heads if case["seed"] % 2 else 1
        terms.bias = random_of(rows, queries, keys).expand(heads, queries, keys)
        if case["seed"] % 3 == 0 and queries > 1:
            terms.bias = terms.bias.clone()
            terms.bias[:, queries // 2] = -math.inf  # a row that sees nothing by its bias
    elif feature == "sink logits":
        terms.sinks = random_of(heads) * 2
    elif feature == "query scale":
        terms.query_scale = random_of(heads, queries).abs() + 0.5
    elif feature == "distance bias":
        terms.distance_bias, terms.first_distance = random_of(heads, 70), -5
    elif feature == "expire spans":
        terms.spans, terms.ramp = random_of(keys).abs() * 40 + 10.25, 16.0
    return terms


def set_terms(arguments, terms, batch):
    arguments.scale, arguments.softcap = terms.scale, terms.softcap
    arguments.alibiSlopes, arguments.sinkLogits = view(terms.slopes), view(terms.sinks)
    arguments.distanceBias, arguments.firstDistance = view(terms.distance_bias), terms.first_distance
    arguments.expireRamp = terms.ramp
    for name, tensor in (("bias", terms.bias), ("queryScale", terms.query_scale), ("expireSpans", terms.spans)):
        if tensor is not None:
            setattr(arguments, name, view(tensor, (batch, *tensor.shape), (0, *tensor.stride())))


def sequence_views(inputs, out, lse):
    views = (SequenceView * len(inputs.sequences))()
    q_row = k_row = 0
    for i, (queries, keys) in enumerate(inputs.sequences):
        one = views[i]
        one.offset = keys - queries
        if inputs.case["layout"] == "varlen":
            one.q, one.out, one.lse = q_row * inputs.q.stride(1), q_row * out.stride(1), q_row
            one.k, one.v = k_row * inputs.k.stride(1), k_row * inputs.v.stride(1)
        else:
            one.q, one.out, one.lse = i * inputs.q.stride(0), i * out.stride(0), i * lse.stride(0)
            pages = (ctypes.c_int * max(len(inputs.pages[i]), 1))(*inputs.pages[i])
            inputs.kept.append(pages)
            one.pages = address(pages)
        q_row, k_row = q_row + queries, k_row + keys
    return views


def new_cache(plugin, inputs, keys):
    """An empty cache with slabs for `keys` keys. Layout and sizes: csrc/core/kv_cache_view.h."""
    dtype = torch.bfloat16 if inputs.dtype == torch.bfloat16 else torch.float32
    size = 2 if dtype == torch.bfloat16 else 4
    key_dim, value_dim = -(-inputs.dim // 4) * 4, -(-inputs.value_dim // 16) * 16
    slab = 1024 * (key_dim + value_dim) * size * inputs.kv_heads
    count = -(-keys // 1024)
    slabs = [plugin.bytes(slab).zero_() for _ in range(count)]
    addresses = (ctypes.c_void_p * max(count, 1))(*[slab.data_ptr() for slab in slabs])
    inputs.kept += [slabs, addresses]
    cache = KVCacheView(
        slabs=address(addresses), dtype=DTYPES.index(dtype), numKVHeads=inputs.kv_heads, headDim=inputs.dim
    )
    cache.valueDim, cache.keySets, cache.keySet, cache.length = inputs.value_dim, 1, 0, keys
    return cache


def filled_cache(plugin, inputs):
    keys = inputs.k.shape[1]
    cache = new_cache(plugin, inputs, keys)
    cut = max(keys - 1, 0) if inputs.case["seed"] % 2 else keys * 2 // 3
    for first, end in ((0, cut), (cut, keys)):
        if first == end:
            continue
        args = CacheAppendArgs(
            cache=cache, position=first, k=view(inputs.k[:, first:end]), v=view(inputs.v[:, first:end])
        )
        args.cache.length = end
        args.k2 = args.k
        plugin.call("cacheAppend", args)
    return cache


def arguments_of(plugin, inputs, terms, pattern, out, lse):
    arguments = AttentionArgs()
    arguments.q, arguments.out, arguments.lse = view(inputs.q), view(out), view(lse)
    set_terms(arguments, terms, len(inputs.sequences))
    arguments.pattern = pattern.address
    queries, keys = inputs.case["lengths"]
    arguments.offset = keys - queries
    layout = inputs.case["layout"]
    if layout == "cache":
        arguments.cache = filled_cache(plugin, inputs)
        return arguments
    arguments.k, arguments.v = view(inputs.k), view(inputs.v)
    if layout in ("varlen", "paged"):
        views = sequence_views(inputs, out, lse)
        inputs.kept.append(views)
        arguments.sequences = address(views)
        longest_q, longest_kv = (max(s[axis] for s in inputs.sequences) for axis in (0, 1))
        for one in (arguments.q, arguments.out):
            one.shape[0], one.shape[1] = len(views), longest_q
        arguments.k.shape[1] = arguments.v.shape[1] = longest_kv
        arguments.pageSize = inputs.page_size if layout == "paged" else 0
    return arguments


def split(inputs, out, lse):
    """out [queries, heads, dim] and lse [heads, queries] of each sequence."""
    first = 0
    for i, (queries, _) in enumerate(inputs.sequences):
        if inputs.case["layout"] == "varlen":
            yield out[0, first : first + queries], lse[0, :, first : first + queries]
            first += queries
        else:
            yield out[i], lse[i]


def run_twice(plugin, row, arguments, outputs):
    """Both runs begin from poison; what they wrote must be the same bits, within its bounds."""
    first = []
    for turn in range(2):
        for one in outputs:
            one.poison()
        plugin.call(row, arguments)
        plugin.synchronise()
        if turn == 0:
            first = [one.payload.clone() for one in outputs]
    faults = [one.fault() for one in outputs if one.fault()]
    if not all(torch.equal(a, b.payload) for a, b in zip(first, outputs)):
        faults.append("differs from one run to the next")
    return faults


class Errors:
    def __init__(self):
        self.difference = self.plain = self.norm = 0.0
        self.largest = self.plain_largest = self.highest = self.lse = self.score = 0.0
        self.faults = []

    def add(self, out, lse, ref, ref_lse, in_dtype):
        if ref.numel() == 0:
            return
        out, lse = out.double(), lse.double()
        if bool(out.isnan().any()):
            self.faults.append(f"{int(out.isnan().sum())} of {out.numel()} outputs are NaN")
        if bool(lse.isnan().any()):
            self.faults.append(f"{int(lse.isnan().sum())} of {lse.numel()} lse are NaN")
        if not torch.equal(lse == -math.inf, ref_lse == -math.inf):
            self.faults.append("lse is -inf at the wrong rows")
        error, plain_error = (out - ref).abs(), (in_dtype - ref).abs()
        self.difference += float(error.square().sum())
        self.plain += float(plain_error.square().sum())
        self.norm += float(ref.square().sum())
        self.largest = max(self.largest, float(error.max()))
        self.plain_largest = max(self.plain_largest, float(plain_error.max()))
        self.highest = max(self.highest, float(ref.abs().max()))
        both = (lse > -math.inf) & (ref_lse > -math.inf)
        if bool(both.any()):
            self.score = max(self.score, float(ref_lse[both].abs().max()))
            self.lse = max(self.lse, float((lse - ref_lse)[both].abs().max()))

    def verdict(self, dtype, inputs):
        relative, plain = (
            math.sqrt(x / self.norm) if self.norm else math.sqrt(x) for x in (self.difference, self.plain)
        )
        # Scores of hundreds are rounded in float32 themselves; sums of equal terms err to one side
        slack = 2**-22 * self.score if inputs == "large" else 2e-5 if inputs == "constant" else 0.0
        faults = list(self.faults)
        if inputs != "large" and not relative < BOUND[dtype] + slack:
            faults.append(f"relative error {relative:.2e}, over {BOUND[dtype]:.0e}")
        if not relative <= 2 * plain + FLOOR[dtype] + slack:
            faults.append(f"relative error {relative:.2e}, torch in the same dtype has {plain:.2e}")
        if not self.largest <= 3 * self.plain_largest + (2 * EPSILON[dtype] + slack) * self.highest:
            faults.append(f"largest error {self.largest:.2e}, torch in the same dtype has {self.plain_largest:.2e}")
        if not self.lse < 1e-3:
            faults.append(f"lse is wrong by {self.lse:.2e}")
        return {"ok": not faults, "error": relative, "torch": plain, "lse": self.lse, "faults": faults}


def run_case(plugin, case):
    if case["layout"] == "cache" and not plugin.has("cacheAppend"):
        raise KernelError("cacheAppend: the table has no such row")
    inputs = Inputs(case, plugin).make()
    terms = terms_of(case, inputs)
    pattern_name = case["feature"] if case["feature"] in patterns.PATTERNS else ["full", "causal"][case["seed"] % 2]
    pattern, masks, _ = patterns.make(plugin, pattern_name, inputs.sequences, inputs.heads, inputs.draw)
    rows = inputs.q.shape[1]
    out_shape = (inputs.q.shape[0], rows, inputs.heads, inputs.value_dim)
    kind = "padded" if case["inputs"] == "padded" else "dense"  # ops make no other outputs
    out = Guarded(plugin, out_shape, inputs.dtype, strides_of(out_shape, kind))
    lse = Guarded(plugin, (inputs.q.shape[0], inputs.heads, rows), torch.float32)
    arguments = arguments_of(plugin, inputs, terms, pattern, out.tensor, lse.tensor)
    errors = Errors()
    errors.faults += run_twice(plugin, "attention", arguments, [out, lse])
    for i, (own_out, own_lse) in enumerate(split(inputs, out.tensor, lse.tensor)):
        q, k, v = inputs.sequence(i)
        if q.shape[0] == 0:
            continue
        offset = k.shape[0] - q.shape[0]
        ref, ref_lse = attend(q, k, v, masks[i], terms, offset, torch.float64)
        in_dtype, _ = attend(q, k, v, masks[i], terms, offset, inputs.dtype)
        errors.add(own_out, own_lse, ref, ref_lse, in_dtype)
    return errors.verdict(case["dtype"], case["inputs"])


def run_parts(plugin, dtype, accumulate):
    """Keys in two halves: by accumulation in float32, or as parts that mergeAttention brings together."""
    case = {"feature": "causal", "lengths": (150, 150), "headDim": 64, "dtype": dtype, "heads": (4, 2)}
    case |= {"layout": "dense", "inputs": "normal", "seed": 6}
    inputs = Inputs(case, plugin).make()
    terms = terms_of(case, inputs)
    shape, lse_shape = (2, 150, 4, inputs.value_dim), (2, 4, 150)
    out_dtype = torch.float32 if accumulate else inputs.dtype
    total = [Guarded(plugin, shape, out_dtype), Guarded(plugin, lse_shape, torch.float32)]
    at = patterns.Lengths(150, 150, plugin.device)
    mask = (at.k <= at.p)[None]
    # Two windows that make a causal pattern together; the far one sees nothing in its first 40 rows
    halves = [("window", [39, 0]), ("window", [patterns.UNBOUNDED, -40])]
    outs, lses, patterns_kept, errors = [], [], [], Errors()
    for i, (kind, numbers) in enumerate(halves):
        made = plugin.pattern([patterns.flat(kind, numbers, [], 150, 150, 0)])
        patterns_kept.append(made)
        own = lambda: (Guarded(plugin, shape, inputs.dtype), Guarded(plugin, lse_shape, torch.float32))
        out, lse = total if accumulate else own()
        arguments = arguments_of(plugin, inputs, terms, made, out.tensor, lse.tensor)
        arguments.accumulate = accumulate and i > 0
        plugin.call("attention", arguments)
        outs.append(out)
        lses.append(lse)
    if not accumulate:
        merged = MergeArgs(parts=2, out=view(total[0].tensor), lse=view(total[1].tensor))
        views = [(TensorView * 2)(*[view(one.tensor) for one in list_of]) for list_of in (outs, lses)]
        merged.outs, merged.lses = map(address, views)
        errors.faults += run_twice(plugin, "mergeAttention", merged, total)
    plugin.synchronise()
    errors.faults += [one.fault() for one in total if one.fault()]
    for b in range(2):
        q, k, v = inputs.sequence(b)
        ref, ref_lse = attend(q, k, v, mask, terms, 0, torch.float64)
        in_dtype, _ = attend(q, k, v, mask, terms, 0, inputs.dtype)
        errors.add(total[0].tensor[b], total[1].tensor[b], ref, ref_lse, in_dtype)
    return errors.verdict(dtype, "normal")


def jobs(plugin, options):
    for case in sample(options.count or (60 if options.quick else 300), options.quick):
        yield name_of(case), lambda case=case: run_case(plugin, case)
    for dtype in DTYPE_OF:
        yield f"parts: accumulated, {dtype}", lambda dtype=dtype: run_parts(plugin, dtype, True)
        yield f"parts: merged, {dtype}", lambda dtype=dtype: run_parts(plugin, dtype, False)
