"""Rates of attention, decode and products, beside torch's best of the same process and the device's ceilings."""

import ctypes
import math

import torch
import torch.nn.functional as F

import patterns
from ops import pack
from plugin import ACTIVATIONS, AttentionArgs, CacheAppendArgs, GatedArgs, KVCacheView, MatmulArgs, MergeArgs, NormArgs
from plugin import DTYPES, SequenceView, SoftmaxArgs, TensorView, address, view
from timing import median

FEW_BYTES = 180 << 20  # below it, three sets of inputs in turn keep the L2 from answering
CAUSAL = [patterns.UNBOUNDED, 0]


def random_of(plugin, *shape, dtype=torch.bfloat16):
    if plugin.emulated:
        size = math.prod(shape) * torch.empty(0, dtype=dtype).element_size()
        return plugin.bytes(size).view(dtype).view(shape).copy_(torch.randn(*shape))
    return torch.randn(*shape, device=plugin.device, dtype=dtype)


def peer_times(plugin, peers):
    """Of those that run: microseconds by name, and the output of the first."""
    times, output = {}, None
    for name, calls in peers.items():
        try:
            first = calls[0]()
            times[name] = median(plugin, calls)[0]
            output = first if output is None else output
        except Exception as error:  # a backend that refuses the shape, a compiler that is missing
            print(
                f"  no {name}: {str(error).splitlines()[0][:120] if str(error) else type(error).__name__}", flush=True
            )
    return times, output


def measured(plugin, calls, unit, work, peers=None, out=None):
    """`peers` give [batch, heads, queries, dim] as torch does, `out` is ours with queries before heads."""
    us, runs, host = median(plugin, calls)
    result = {"ok": True, "unit": unit, "work": work, "us": us, "runs": runs, "host": host}
    result["peers"], theirs = peer_times(plugin, peers or {})
    if theirs is not None and out is not None:
        theirs = theirs.float()
        ours = out.float().transpose(1, 2) if theirs.dim() == 4 else out.float()
        difference = float((ours - theirs).norm() / theirs.norm())
        if not difference < 2e-2:
            result["differs"] = difference if math.isfinite(difference) else 1e9
    return result


# --- ceilings


def ceiling_copy(plugin):
    size = 1 << 20 if plugin.emulated else 4 << 30
    a, b = (torch.empty(size, dtype=torch.uint8, device=plugin.device) for _ in range(2))
    return measured(plugin, [lambda: b.copy_(a)], "TB/s", 2 * size)


def ceiling_gemm(plugin):
    n = 128 if plugin.emulated else 8192
    a, b = random_of(plugin, n, n), random_of(plugin, n, n)
    return measured(plugin, [lambda: torch.matmul(a, b)], "TFLOP/s", 2 * n**3)


# --- attention


class Attention:
    """One set of inputs with its call. `flats` is the pattern, [batch][heads] of them or one."""

    def __init__(self, plugin, q, k, v, flats, heads=1, lists=(), lse=True):
        self.q, self.k, self.v = q, k, v
        self.out = torch.empty((*q.shape[:3], v.shape[3]), dtype=q.dtype, device=q.device)
        self.lse = torch.empty((q.shape[0], q.shape[2], q.shape[1]), device=q.device) if lse else None
        self.pattern = plugin.pattern(flats, len(flats) // heads, heads, lists)
        arguments = self.arguments = AttentionArgs(q=view(q), k=view(k), v=view(v), out=view(self.out))
        arguments.lse, arguments.pattern = view(self.lse), self.pattern.address
        arguments.scale, arguments.offset = 1 / math.sqrt(q.shape[3]), (k.shape[1] if k.dim() == 4 else 0) - q.shape[1]
        self.kept = []

    def call(self, plugin):
        plugin.call("attention", self.arguments)  # an error shows here, before any time is taken
        return plugin.caller("attention", self.arguments)


def sdpa_peers(q, k, v, causal, names=("CUDNN_ATTENTION", "FLASH_ATTENTION"), mask=None):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    grouped = q.shape[1] != k.shape[1]

    def peer(backend):
        def call():
            with sdpa_kernel(backend):
                return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped)

        return call

    if q.device.type == "cpu":
        names = ("MATH",)
    return {name.split("_")[0].lower(): [peer(getattr(SDPBackend, name))] for name in names}


def flex_peer(q, k, v, mask_mod):
    """Compiled FlexAttention; compiles when first called."""
    state = {}

    def call():
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        if not state:
            state["mask"] = create_block_mask(
                mask_mod, None, None, q.shape[1], k.shape[1], device=q.device, _compile=True
            )
            state["run"] = torch.compile(flex_attention)
            state["inputs"] = [t.transpose(1, 2) for t in (q, k, v)]
        return state["run"](*state["inputs"], block_mask=state["mask"])

    return {} if q.device.type == "cpu" else {"flex": [call]}


def forward(plugin, dim, causal, seq, dtype=torch.bfloat16, tokens=16384, width=2048, flex=False):
    batch, heads = max(tokens // seq, 1), max(width // dim, 1)
    q, k, v = (random_of(plugin, batch, seq, heads, dim, dtype=dtype) for _ in range(3))
    name, numbers = ("window", CAUSAL) if causal else ("full", [])
    one = Attention(plugin, q, k, v, [patterns.flat(name, numbers, [], seq, seq, 0)])
    work = 4 * seq * seq * dim * heads * batch * (0.5 if causal else 1)
    peers = (
        sdpa_peers(q, k, v, causal) if dtype != torch.float32 else sdpa_peers(q, k, v, causal, ("EFFICIENT_ATTENTION",))
    )
    if flex:
        peers |= flex_peer(q, k, v, lambda b, h, i, j: i >= j if causal else i >= 0)
    return measured(plugin, [one.call(plugin)], "TFLOP/s", work, peers, one.out)


def windowed(plugin, seq, window, tokens_kept, heads=16, dim=128, flex=False):
    """Sliding window, with attention sinks or without; the work is that of the pairs seen."""
    q, k, v = (random_of(plugin, 1, seq, heads, dim) for _ in range(3))
    kind, numbers = ("sinks", [tokens_kept, window - 1, 0]) if tokens_kept else ("window", [window - 1, 0])
    one = Attention(plugin, q, k, v, [patterns.flat(kind, numbers, [], seq, seq, 0)])
    pairs = seq * window - window * (window - 1) // 2 + max(seq - window, 0) * tokens_kept
    near = lambda i, j: (i >= j) & ((i - j < window) | (j < tokens_kept))
    peers = flex_peer(q, k, v, lambda b, h, i, j: near(i, j)) if flex else {}
    return measured(plugin, [one.call(plugin)], "TFLOP/s", 4 * pairs * dim * heads, peers, one.out)


def block_sparse(plugin, seq, share, heads=16, dim=128, size=128, flex=False):
    """Random causal blocks, the diagonal ones included."""
    q, k, v = (random_of(plugin, 1, seq, heads, dim) for _ in range(3))
    count = seq // size
    chosen = (torch.rand(count, count, generator=torch.Generator().manual_seed(3)) < share).tril() | torch.eye(
        count, dtype=torch.bool
    )
    rows = [row.nonzero()[:, 0].tolist() for row in chosen]
    starts = patterns.ints([sum(map(len, rows[:i])) for i in range(count + 1)])
    columns = patterns.ints([c for row in rows for c in row])
    numbers = [size, size, 0, 0, count, 0]
    one = Attention(
        plugin, q, k, v, [patterns.flat("blocks", numbers, [starts, columns], seq, seq, 0)], lists=[starts, columns]
    )
    on_device = chosen.to(q.device)
    peers = flex_peer(q, k, v, lambda b, h, i, j: on_device[i // size, j // size]) if flex else {}
    work = 4 * int(chosen.sum()) * size * size * dim * heads
    return measured(plugin, [one.call(plugin)], "TFLOP/s", work, peers, one.out)


def longnet(plugin, seq, branches, heads=8, dim=128):
    """LongNet's branches by (segment, rate), causal, phases by head, and their merge. The peer does the attention of
    the branches alone, without gathering by head, scattering and merging: less than a model needs."""
    q, k, v = (random_of(plugin, 1, seq, heads, dim) for _ in range(3))
    parts, work = [], 0
    for segment, rate in branches:
        flats = [patterns.flat("dilated", [segment, rate, h % rate, 1, 0], [], seq, seq, 0) for h in range(heads)]
        parts.append(Attention(plugin, q, k, v, flats, heads))
        work += 2 * (segment // rate) ** 2 * (seq // segment) * dim * heads
    out, lse = torch.empty_like(q), torch.empty_like(parts[0].lse)
    merge = MergeArgs(parts=len(parts), out=view(out), lse=view(lse))
    outs = (TensorView * len(parts))(*[view(part.out) for part in parts])
    lses = (TensorView * len(parts))(*[view(part.lse) for part in parts])
    merge.outs, merge.lses = address(outs), address(lses)
    calls = [part.call(plugin) for part in parts]
    plugin.call("mergeAttention", merge)
    calls.append(plugin.caller("mergeAttention", merge))

    def torch_branches():
        for segment, rate in branches:
            cut = [
                t.view(seq // segment, segment, heads, dim)[:, ::rate].transpose(1, 2).contiguous() for t in (q, k, v)
            ]
            F.scaled_dot_product_attention(*cut, is_causal=True)

    result = measured(plugin, [lambda: [call() for call in calls]], "TFLOP/s", work)
    result["peers"], _ = peer_times(plugin, {"gathered sdpa": [torch_branches]})
    return result


# --- decode


def decode(plugin, batch, keys, heads=32, kv_heads=8, dim=128, page=0):
    """One query a sequence; bytes are those of its keys and values."""
    q = random_of(plugin, batch, 1, heads, dim)
    k, v = (random_of(plugin, batch, keys, kv_heads, dim) for _ in range(2))
    work = 2 * k.numel() * k.element_size()
    flats = [patterns.flat("window", CAUSAL, [], 1, keys, keys - 1) for _ in range(batch if page else 1)]
    one = Attention(plugin, q, k, v, flats, lse=False)
    if page:
        per = keys // page
        order = torch.randperm(batch * per, generator=torch.Generator().manual_seed(5))
        pages = (ctypes.c_int * (batch * per))(*order.tolist())
        views = (SequenceView * batch)()
        for b in range(batch):
            views[b].q = views[b].out = b * heads * dim
            views[b].offset = keys - 1
            views[b].pages = ctypes.addressof(pages) + 4 * b * per
        shape = (batch * per, page, kv_heads, dim)
        one.arguments.k, one.arguments.v = view(k.view(shape)), view(v.view(shape))
        one.arguments.k.shape[1] = one.arguments.v.shape[1] = keys
        one.arguments.sequences, one.arguments.pageSize = address(views), page
        one.kept = [pages, views]
        return measured(plugin, [one.call(plugin)], "TB/s", work)
    return measured(plugin, [one.call(plugin)], "TB/s", work, sdpa_peers(q, k, v, False), one.out)


def cache_decode(plugin, keys, heads=32, kv_heads=8, dim=128):
    q, k, v = random_of(plugin, 1, 1, heads, dim), *(random_of(plugin, 1, keys, kv_heads, dim) for _ in range(2))
    count, slab = -(-keys // 1024), 1024 * 2 * dim * 2 * kv_heads
    slabs = [plugin.bytes(slab).zero_() for _ in range(count)]
    addresses = (ctypes.c_void_p * count)(*[s.data_ptr() for s in slabs])
    cache = KVCacheView(slabs=address(addresses), dtype=DTYPES.index(torch.bfloat16))
    cache.numKVHeads, cache.headDim, cache.valueDim, cache.keySets, cache.length = kv_heads, dim, dim, 1, keys
    plugin.call("cacheAppend", CacheAppendArgs(cache=cache, position=0, k=view(k), v=view(v), k2=view(k)))
    one = Attention(plugin, q, k, v, [patterns.flat("window", CAUSAL, [], 1, keys, keys - 1)], lse=False)
    one.arguments.k, one.arguments.v, one.arguments.cache = TensorView(), TensorView(), cache
    return measured(plugin, [one.call(plugin)], "TB/s", 2 * k.numel() * 2, sdpa_peers(q, k, v, False), one.out)


# --- products and rows


def product(plugin, rows, columns, depth):
    """Few rows are a matter of the weight's bytes, many of multiplications."""
    x, weight = random_of(plugin, rows, depth), random_of(plugin, columns, depth)
    out = torch.empty((rows, columns), dtype=x.dtype, device=x.device)
    sets = 3 if weight.numel() * 2 < FEW_BYTES else 1
    packs = [pack(plugin, weight, "bf16") for _ in range(sets)]
    arguments = [
        MatmulArgs(x=view(x), weight=packed, out=view(out), activation=ACTIVATIONS.index("none")) for packed, _ in packs
    ]
    plugin.call("matmul", arguments[0])
    copies = [weight.clone() for _ in range(sets)]
    peers = {"cublas": [lambda w=w: F.linear(x, w) for w in copies]}
    unit, work = ("TB/s", 2 * weight.numel()) if rows <= 16 else ("TFLOP/s", 2 * rows * columns * depth)
    return measured(plugin, [plugin.caller("matmul", a) for a in arguments], unit, work, peers, out)


def row_op(plugin, row, shape):
    x, weight, out = random_of(plugin, *shape), random_of(plugin, shape[-1]), None
    out = torch.empty_like(x)
    if row == "norm":
        arguments = NormArgs(x=view(x), weight=view(weight), out=view(out), epsilon=1e-5)
        peer, work = lambda: F.rms_norm(x, shape[-1:], weight, 1e-5), 4 * x.numel()
    elif row == "gated":
        up = random_of(plugin, *shape)
        arguments = GatedArgs(gate=view(x), up=view(up), out=view(out), activation=ACTIVATIONS.index("silu"))
        peer, work = lambda: F.silu(x) * up, 6 * x.numel()
    else:
        arguments = SoftmaxArgs(x=view(x), out=view(out))
        peer, work = lambda: torch.softmax(x, -1), 4 * x.numel()
    plugin.call(row, arguments)
    return measured(plugin, [plugin.caller(row, arguments)], "TB/s", work, {"torch": [peer]}, out)


def emulated_jobs(plugin):
    """The same code at sizes for an emulator: it proves the harness, not a speed."""
    yield "forward d64 causal 64", lambda: forward(plugin, 64, True, 64, tokens=128, width=128)
    yield "window", lambda: windowed(plugin, 128, 32, 4, 2, 64)
    yield "blocks", lambda: block_sparse(plugin, 128, 0.5, 2, 64, 32)
    yield "LongNet", lambda: longnet(plugin, 128, [(32, 1), (64, 2)], 2, 64)
    yield "decode", lambda: decode(plugin, 2, 128, 4, 2, 64)
    yield "decode, pages", lambda: decode(plugin, 2, 128, 4, 2, 64, 16)
    yield "decode, cache", lambda: cache_decode(plugin, 128, 4, 2, 64)
    yield "gemv", lambda: product(plugin, 1, 128, 128)
    yield "gemm", lambda: product(plugin, 64, 128, 128)
    for row in ("norm", "gated", "softmax"):
        yield row, lambda row=row: row_op(plugin, row, (8, 128))


def jobs(plugin, options):
    """The most wanted rows first: the time may not last for all."""
    yield "ceiling copy", lambda: ceiling_copy(plugin)
    yield "ceiling gemm bf16 8192", lambda: ceiling_gemm(plugin)
    if plugin.emulated:
        yield from emulated_jobs(plugin)
        return
    lengths = (2048, 8192) if options.quick else (8192, 2048, 512, 1024, 4096, 16384)
    make = lambda job, *arguments, **named: lambda: job(plugin, *arguments, **named)
    for seq in lengths:
        for dim in (128, 64, 256):
            for causal in (False, True):
                yield f"forward bf16 d{dim} {'causal' if causal else 'full'} {seq}", make(forward, dim, causal, seq)
        if seq == lengths[0]:
            yield from decode_jobs(make, options.quick)
            yield from product_jobs(make)
            yield "window 4096 of 65536, d128", make(windowed, 65536, 4096, 0)
            yield "window 4096 and 4 sinks of 65536, d128", make(windowed, 65536, 4096, 4)
            yield "blocks of 128, a tenth of 32768, d128", make(block_sparse, 32768, 0.1)
            branches = [(2048, 1), (8192, 4), (32768, 16)]
            yield "LongNet 131072, three rates", make(longnet, 131072, branches)
            yield "LongNet 1048576, three rates", make(longnet, 1048576, branches)
    yield "forward f16 d128 causal 8192", make(forward, 128, True, 8192, dtype=torch.float16)
    yield "forward f32 d128 causal 2048", make(forward, 128, True, 2048, dtype=torch.float32)
    for row, shape in (("norm", (16384, 4096)), ("gated", (16384, 14336)), ("softmax", (4096, 32768))):
        yield f"{row} bf16 {shape[0]}x{shape[1]}", make(row_op, row, shape)
    # Peers that are compiled first
    yield "window 4096 of 65536, d128, flex", make(windowed, 65536, 4096, 0, flex=True)
    yield "blocks of 128, a tenth of 32768, d128, flex", make(block_sparse, 32768, 0.1, flex=True)
    yield "forward bf16 d128 causal 8192, flex", make(forward, 128, True, 8192, flex=True)
    yield "window 4096 and 4 sinks of 65536, d128, flex", make(windowed, 65536, 4096, 4, flex=True)


def decode_jobs(make, quick):
    for batch in (1, 8, 64) if quick else (1, 4, 16, 64):
        yield f"decode bf16 d128 32/8 heads, {batch} x 32768", make(decode, batch, 32768)
    yield "decode, pages of 64, 16 x 32768", make(decode, 16, 32768, page=64)
    yield "decode, pages of 16, 16 x 32768", make(decode, 16, 32768, page=16)
    yield "decode, cache, 32768", make(cache_decode, 32768)
    yield "decode bf16 d128 32/8 heads, 1 x 131072", make(decode, 1, 131072)
    yield "decode bf16 d64 32/8 heads, 16 x 32768", make(decode, 16, 32768, dim=64)


def product_jobs(make):
    for rows in (1, 4, 16, 64, 512):
        yield f"product bf16 {rows}x14336x4096", make(product, rows, 14336, 4096)
    yield "product bf16 1x128256x4096", make(product, 1, 128256, 4096)
    yield "product bf16 4096x14336x4096", make(product, 4096, 14336, 4096)
    yield "product bf16 8192x8192x8192", make(product, 8192, 8192, 8192)
