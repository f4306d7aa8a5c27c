"""The ops of a model against torch in float64: one job each for a row of the table, a dtype and a shape."""

import ctypes
import itertools
import math

import torch

import plugin as p
from buffers import Guarded
from correctness import DTYPE_OF, run_twice
from plugin import view
from quantised import FORMATS, quantised

# Of float32 arithmetic, and of the rounding to the output's dtype
BOUND = {"f32": 2e-6, "f16": 6e-4, "bf16": 4.5e-3}


class Op:
    """Inputs by seed, an output between guards, and the comparison."""

    def __init__(self, plugin, row, seed):
        self.plugin, self.row, self.device = plugin, row, plugin.device
        self.generator = torch.Generator(device=plugin.device).manual_seed(seed)
        self.kept = []

    def random(self, shape, dtype="f32", scale=1.0):
        guarded = Guarded(self.plugin, shape, DTYPE_OF[dtype])
        guarded.tensor.copy_(torch.randn(shape, generator=self.generator, device=self.device) * scale)
        self.kept.append(guarded)
        return guarded.tensor

    def integers(self, shape, end):
        return torch.randint(end, shape, generator=self.generator, device=self.device, dtype=torch.int32)

    def output(self, shape, dtype):
        return Guarded(self.plugin, shape, DTYPE_OF[dtype] if isinstance(dtype, str) else dtype)

    def run(self, arguments, outputs):
        if not self.plugin.has(self.row):
            raise p.KernelError(f"{self.row}: the table has no such row")
        return run_twice(self.plugin, self.row, arguments, outputs)


def compare(out, ref, dtype, faults, bound=1.0):
    out, ref = out.double(), ref.double()
    faults = list(faults)
    if bool((out.isnan() != ref.isnan()).any()):
        faults.append(f"{int((out.isnan() != ref.isnan()).sum())} of {out.numel()} are wrongly NaN, or not")
    good = ref.isfinite()
    if not torch.equal(out[~good & ~ref.isnan()], ref[~good & ~ref.isnan()]):
        faults.append("infinities differ")
    error = (out - ref)[good]
    norm = float(ref[good].square().sum().sqrt())
    relative = float(error.square().sum().sqrt()) / (norm or 1.0)
    largest = float(error.abs().max()) if error.numel() else 0.0
    highest = float(ref[good].abs().max()) if error.numel() else 0.0
    if not relative < BOUND[dtype] * bound:
        faults.append(f"relative error {relative:.2e}, over {BOUND[dtype] * bound:.0e}")
    if not largest <= 2 * BOUND[dtype] * bound * max(highest, 1e-3):
        faults.append(f"largest error {largest:.2e} among values up to {highest:.2e}")
    return {"ok": not faults, "error": relative, "faults": faults}


def norm_job(plugin, shape, x_dtype, out_dtype, centre, seed):
    op = Op(plugin, "norm", seed)
    x = op.random(shape, x_dtype, 3.0)
    weight, bias = op.random(shape[-1:], x_dtype), op.random(shape[-1:], x_dtype) if centre else None
    out = op.output(shape, out_dtype)
    arguments = p.NormArgs(
        x=view(x), weight=view(weight), bias=view(bias), out=view(out.tensor), epsilon=1e-5, centre=centre
    )
    faults = op.run(arguments, [out])
    wide = x.double() - (x.double().mean(-1, keepdim=True) if centre else 0.0)
    ref = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + 1e-5) * weight.double()
    return compare(out.tensor, ref + bias.double() if centre else ref, out_dtype, faults)


class Turning:
    """Arguments of rope, and what they make of heads in float64."""

    def __init__(self, positions, frequencies, interleaved):
        self.positions, self.count, self.interleaved = positions, frequencies, interleaved
        self.theta = 10000.0 ** (-torch.arange(frequencies, dtype=torch.float64) / frequencies)
        self.held = (ctypes.c_double * frequencies)(*self.theta.tolist())

    def arguments(self, x, out):
        arguments = p.RopeArgs(
            x=view(x), positions=view(self.positions), frequencies64=p.address(self.held), numFrequencies=self.count
        )
        arguments.attentionScale, arguments.interleaved, arguments.out = 1.25, self.interleaved, view(out.tensor)
        arguments.positionStep, arguments.positionOffset = 0.5, 3.0
        return arguments

    def of(self, x):
        angle = (self.positions.double() * 0.5 + 3.0)[..., None, None] * self.theta.to(x.device)
        sine, cosine = angle.sin() * 1.25, angle.cos() * 1.25
        wide, n = x.double(), self.count
        turned = wide.clone()
        first = slice(0, 2 * n, 2) if self.interleaved else slice(0, n)
        second = slice(1, 2 * n, 2) if self.interleaved else slice(n, 2 * n)
        a, b = wide[..., first], wide[..., second]
        turned[..., first], turned[..., second] = a * cosine - b * sine, b * cosine + a * sine
        return turned


def rope_job(plugin, dtype, interleaved, frequencies, seed):
    op = Op(plugin, "rope", seed)
    x = op.random((2, 37, 5, 64), dtype)
    turning = Turning(op.integers((2, 37), 1_000_000), frequencies, interleaved)
    out = op.output(x.shape, dtype)
    faults = op.run(turning.arguments(x, out), [out])
    return compare(out.tensor, turning.of(x), dtype, faults)


def rope_append_job(plugin, dtype, interleaved, rows, seed):
    """Into one slab in rows of the device's layout (cuda/cache.cuh), whose pads stay as they were."""
    op = Op(plugin, "ropeAppend", seed)
    heads, kv_heads, dim, value_dim, position = 8, 2, 128, 80, 1024 - rows
    cached = "bf16" if dtype == "bf16" else "f32"
    q, k = op.random((1, rows, heads, dim), dtype), op.random((1, rows, kv_heads, dim), dtype)
    v = op.random((1, rows, kv_heads, value_dim), dtype)
    turning = Turning(op.integers((rows,), 1_000_000), 40, interleaved)
    out, slab = op.output(q.shape, dtype), op.output((kv_heads * 1024 * (dim + value_dim),), cached)
    addresses = (ctypes.c_void_p * 1)(slab.tensor.data_ptr())
    cache = p.KVCacheView(slabs=p.address(addresses), dtype=p.DTYPES.index(DTYPE_OF[cached]), numKVHeads=kv_heads)
    cache.headDim, cache.valueDim, cache.keySets, cache.length = dim, value_dim, 1, 1024
    append = p.CacheAppendArgs(cache=cache, position=position, k=view(k), v=view(v), k2=view(k))
    faults = op.run(p.RopeAppendArgs(q=turning.arguments(q, out), append=append), [out, slab])
    kept = slab.tensor.split([kv_heads * 1024 * dim, kv_heads * 1024 * value_dim])
    kept = [part.view(kv_heads, 1024, -1)[:, position:].transpose(0, 1) for part in kept]
    found = torch.cat([part.double().flatten() for part in (out.tensor, *kept)])
    expected = torch.cat([part.flatten() for part in (turning.of(q), turning.of(k), v.double())])
    return compare(found, expected, dtype, faults)


def activated(x, name):
    functions = {
        "none": lambda x: x,
        "silu": torch.nn.functional.silu,
        "gelu": torch.nn.functional.gelu,
        "geluTanh": lambda x: torch.nn.functional.gelu(x, approximate="tanh"),
        "relu": torch.relu,
    }
    return functions[name](x)


def gated_job(plugin, activation, dtype, with_up, seed):
    op = Op(plugin, "gated", seed)
    shape = (3, 77, 130)
    gate, up = op.random(shape, dtype, 3.0), op.random(shape, dtype) if with_up else None
    out = op.output(shape, dtype)
    arguments = p.GatedArgs(gate=view(gate), up=view(up), out=view(out.tensor))
    arguments.activation = p.ACTIVATIONS.index(activation)
    faults = op.run(arguments, [out])
    ref = activated(gate.double(), activation)
    return compare(out.tensor, ref * up.double() if with_up else ref, dtype, faults)


def binary_job(plugin, multiply, dtype, seed):
    op = Op(plugin, "binary", seed)
    a, b = op.random((4, 33, 70), dtype), op.random((70,), dtype)
    out = op.output(a.shape, dtype)
    arguments = p.BinaryArgs(a=view(a), b=view(b, a.shape, (0, 0, 1)), out=view(out.tensor), op=int(multiply))
    faults = op.run(arguments, [out])
    ref = a.double() * b.double() if multiply else a.double() + b.double()
    return compare(out.tensor, ref, dtype, faults)


def softmax_job(plugin, columns, dtype, seed):
    op = Op(plugin, "softmax", seed)
    x = op.random((7, 3, columns), dtype, 4.0)
    x[1, 1, columns // 2 :] = -math.inf
    out = op.output(x.shape, dtype)
    faults = op.run(p.SoftmaxArgs(x=view(x), out=view(out.tensor)), [out])
    return compare(out.tensor, torch.softmax(x.double(), -1), dtype, faults)


def nll_job(plugin, columns, dtype, seed):
    op = Op(plugin, "nll", seed)
    logits, targets = op.random((21, columns), dtype, 4.0), op.integers((21,), columns)
    targets[[5, 9]] = columns
    bad = (ctypes.c_int64 * 1)(-1)
    out = op.output((21,), "f32")
    faults = op.run(
        p.NllArgs(logits=view(logits), targets=view(targets), out=view(out.tensor), badIndex=p.address(bad)), [out]
    )
    if bad[0] != 5:
        faults.append(f"the bad target is at 5, got {bad[0]}")
    ref = (
        logits.double().logsumexp(-1) - logits.double().gather(1, targets.clamp(max=columns - 1).long()[:, None])[:, 0]
    )
    ref[[5, 9]] = math.nan
    return compare(out.tensor, ref, "f32", faults)


def embedding_job(plugin, dtype, out_dtype, seed):
    op = Op(plugin, "embedding", seed)
    ids, weight = op.integers((50,), 300), op.random((300, 129), dtype)
    ids[[7, 30]] = torch.tensor([300, -1], dtype=torch.int32, device=op.device)
    bad = (ctypes.c_int64 * 1)(-1)
    out = op.output((50, 129), out_dtype)
    faults = op.run(
        p.EmbeddingArgs(ids=view(ids), weight=view(weight), out=view(out.tensor), badIndex=p.address(bad)), [out]
    )
    if bad[0] != 7:
        faults.append(f"the bad id is at 7, got {bad[0]}")
    ref = weight.double()[ids.clamp(0, 299).long()]
    ref[[7, 30]] = 0
    return compare(out.tensor, ref, out_dtype, faults)


def copy_job(plugin, source, target, seed):
    op = Op(plugin, "copy", seed)
    x = op.random((5, 6, 70, 9), source).permute(0, 2, 1, 3)
    out = op.output(x.shape, target)
    arguments = p.CopyArgs(out=view(out.tensor))
    setattr(arguments, "in", view(x))
    faults = op.run(arguments, [out])
    if not torch.equal(out.tensor, x.to(DTYPE_OF[target])):
        faults.append("differs from torch's conversion")
    return {"ok": not faults, "faults": faults}


def top_k_job(plugin, columns, k, dtype, seed):
    """Values of few steps: many ties, of which the lower index comes first; NaN comes last."""
    op = Op(plugin, "topK", seed)
    rows = 6
    x = op.random((rows, columns), dtype)
    x.copy_((x * 8).round() / 8)
    x[0, :: max(columns // 3, 1)] = math.nan
    x[1, 0] = math.inf
    x[2].fill_(-math.inf)
    values, indices = op.output((rows, k), "f32"), op.output((rows, k), torch.int32)
    faults = op.run(p.TopKArgs(x=view(x), values=view(values.tensor), indices=view(indices.tensor)), [values, indices])
    keys = x.double().nan_to_num(nan=-math.inf, posinf=math.inf, neginf=-1e300)
    order = torch.sort(keys, dim=-1, descending=True, stable=True).indices[:, :k]
    if not torch.equal(indices.tensor.long(), order):
        faults.append(f"{int((indices.tensor.long() != order).sum())} of {order.numel()} indices are wrong")
    elif not torch.equal(values.tensor.nan_to_num(1e30), x.float().gather(1, order).nan_to_num(1e30)):
        faults.append("values are not those of their indices")
    return {"ok": not faults, "faults": faults}


def packed_bytes(out_features, in_features, dtype):
    if dtype in FORMATS:
        return -(-out_features // 64) * 64 * -(-in_features // 32) * FORMATS[dtype][1]
    depth = in_features + in_features % 2 if dtype == "bf16" else in_features
    return -(-out_features // 64) * 64 * depth * (4 if dtype == "f32" else 2)


def pack(plugin, weight, dtype):
    """The packed weight, and the memory that it lies in."""
    out_features, in_features = weight.shape
    memory = plugin.bytes(packed_bytes(out_features, in_features, dtype))
    memory.fill_(255)
    address = memory.data_ptr()
    number = FORMATS[dtype][0] if dtype in FORMATS else p.DTYPES.index(DTYPE_OF[dtype])
    plugin.call("pack", p.PackArgs(weight=view(weight), packed=address, dtype=number))
    return p.PackedWeight(data=address, dtype=number, outFeatures=out_features, inFeatures=in_features), memory


def matmul_job(plugin, rows, columns, depth, dtypes, activation, epilogue, seed):
    op = Op(plugin, "matmul", seed)
    x_dtype, weight_dtype, out_dtype = dtypes
    if not plugin.has("pack"):
        raise p.KernelError("pack: the table has no such row")
    is_quantised = weight_dtype in FORMATS
    x, weight = op.random((rows, depth), x_dtype), op.random((columns, depth), "f32" if is_quantised else weight_dtype)
    packed, memory = pack(plugin, weight, weight_dtype)
    kept = quantised(weight, weight_dtype) if is_quantised else weight.double()
    bias, residual = (op.random((columns,)), op.random((rows, columns), out_dtype)) if epilogue else (None, None)
    out = op.output((rows, columns), out_dtype)
    arguments = p.MatmulArgs(x=view(x), weight=packed, bias=view(bias), residual=view(residual), out=view(out.tensor))
    arguments.activation = p.ACTIVATIONS.index(activation)
    faults = op.run(arguments, [out])
    ref = x.double() @ kept.t()
    ref = activated(ref + bias.double() if epilogue else ref, activation)
    ref = ref + residual.double() if epilogue else ref
    bound = 3.0 if out_dtype == "f32" else 1.0
    if x_dtype == "bf16" and weight_dtype != "f16" and out_dtype == "f32" and rows > 8:  # tensor cores cut off when they add
        bound = max(bound, 1 + depth / 256)
    return compare(out.tensor, ref, out_dtype, faults, bound)


def matmul_jobs(plugin, quick):
    shapes = [(1, 64, 64), (1, 300, 257), (1, 4096, 4096), (2, 130, 96), (5, 511, 1024), (16, 128, 128), (17, 65, 33)]
    shapes += [(64, 256, 512), (129, 192, 300), (1000, 1024, 512), (2048, 2048, 2048)]
    if quick:
        shapes = [(1, 64, 64), (1, 130, 77), (5, 70, 96), (17, 65, 33), (70, 130, 64)]
    kinds = [
        ("bf16", "bf16", "bf16"),
        ("bf16", "bf16", "f32"),
        ("f32", "f32", "f32"),
        ("f32", "f16", "f32"),
        ("f32", "bf16", "f32"),
        ("bf16", "f16", "bf16"),
        ("f32", "q8_0", "f32"),
        ("bf16", "q8_0", "f32"),
        ("f32", "q4_0", "f32"),
        ("bf16", "q4_0", "bf16"),
    ]
    activations = itertools.cycle(["none", "silu", "none", "gelu", "geluTanh", "relu"])
    for i, ((rows, columns, depth), dtypes) in enumerate(itertools.product(shapes, kinds)):
        activation, epilogue = next(activations), i % 3 == 1
        name = f"matmul {rows}x{columns}x{depth} {'/'.join(dtypes)} {activation}{' +' if epilogue else ''}"
        yield name, lambda a=(rows, columns, depth, dtypes, activation, epilogue, i): matmul_job(plugin, *a)


def jobs(plugin, options):
    all_dtypes = ["f32", "f16", "bf16"]
    seeds = itertools.count(1000)
    make = lambda job, *arguments: lambda seed=next(seeds): job(plugin, *arguments, seed)
    for columns, dtype in itertools.product([1, 130, 4096], all_dtypes):
        for centre in (False, True):
            yield f"norm {columns} {dtype} {centre}", make(norm_job, (3, 11, columns), dtype, dtype, centre)
        yield f"softmax {columns} {dtype}", make(softmax_job, columns, dtype)
    yield "norm f32 to bf16", make(norm_job, (5, 1000), "f32", "bf16", False)
    for dtype, interleaved, frequencies in itertools.product(all_dtypes, (False, True), (32, 20)):
        yield f"rope {dtype} {interleaved} {frequencies}", make(rope_job, dtype, interleaved, frequencies)
    for dtype, interleaved, rows in itertools.product(all_dtypes, (False, True), (1, 37)):
        yield f"ropeAppend {dtype} {interleaved} {rows}", make(rope_append_job, dtype, interleaved, rows)
    for activation, dtype, with_up in itertools.product(p.ACTIVATIONS, all_dtypes, (True, False)):
        yield f"gated {activation} {dtype} {with_up}", make(gated_job, activation, dtype, with_up)
    for multiply, dtype in itertools.product((False, True), all_dtypes):
        yield f"binary {multiply} {dtype}", make(binary_job, multiply, dtype)
    for columns, dtype in itertools.product([300, 1000] if options.quick else [300, 128256], all_dtypes):
        yield f"nll {columns} {dtype}", make(nll_job, columns, dtype)
        for k in (1, 5, 64):
            yield f"topK {columns} {k} {dtype}", make(top_k_job, columns, k, dtype)
    for source, target in itertools.product(all_dtypes, all_dtypes):
        yield f"embedding {source} to {target}", make(embedding_job, source, target)
        yield f"copy {source} to {target}", make(copy_job, source, target)
    yield from matmul_jobs(plugin, options.quick)
