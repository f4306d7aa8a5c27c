# The bench's cases on PyTorch (MKL, oneDNN). Reads {"cases", "budget"} on stdin, prints the median seconds of each case.
import json, statistics, sys, time
import torch
import torch.nn.functional as F

job = json.load(sys.stdin)
dtypes = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def median(run, between=None):
    run()
    times, start = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - start < job["budget"] and len(times) < 200):
        if between:
            between()
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


large = torch.ones(1 << 26)


def heads(case, seq_len, num_heads):
    return torch.rand(1, num_heads, seq_len, case["headDim"], dtype=torch.float32).mul_(4).sub_(2).to(dtypes[case["dtype"]])


def attention(case):
    q, k, v = (heads(case, case["seqLen"], case[n]) for n in ("numHeads", "numKVHeads", "numKVHeads"))
    grouped = case["numHeads"] != case["numKVHeads"]
    if grouped:  # repeated once, outside the clock: enable_gqa is slower
        k, v = (x.repeat_interleave(case["numHeads"] // case["numKVHeads"], 1) for x in (k, v))
    return median(lambda: F.scaled_dot_product_attention(q, k, v, is_causal=case["causal"]))


def decode(case):
    if case["source"] != "tensors":
        return None
    q = heads(case, 1, case["numHeads"])
    k, v = (heads(case, case["seqLenKV"], case["numKVHeads"]) for _ in range(2))
    group = case["numHeads"] // case["numKVHeads"]
    rows = q.reshape(1, case["numKVHeads"], group, case["headDim"])  # heads of a group as queries: the fastest way there
    return median(lambda: F.scaled_dot_product_attention(rows, k, v), lambda: large.sum())


def product(case):
    if case["activations"] != case["weights"]:
        return None
    dtype = dtypes[case["activations"]]
    x = torch.rand(case["rows"], case["inFeatures"]).to(dtype)
    w = torch.rand(case["outFeatures"], case["inFeatures"]).to(dtype)
    return median(lambda: F.linear(x, w), (lambda: large.sum()) if case["op"] == "gemv" else None)


flex = None


def pattern(case):  # FlexAttention, compiled for the CPU, with its block mask made outside the clock
    global flex
    if case["dtype"] != "float32" or "segments" not in case or not ("window 1023" in case["kind"] or "LongNet" in case["kind"]):
        return None
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    flex = flex or torch.compile(flex_attention, dynamic=False)
    n, num_heads = case["seqLen"], case["numHeads"]
    q, k, v = (heads(case, n, case[name]) for name in ("numHeads", "numKVHeads", "numKVHeads"))

    def window(b, h, i, j):
        return (j <= i) & (i - j <= 1023)

    def dilated(b, h, i, j):  # a pair of several branches counts once: no more work than ours
        seen = torch.zeros_like(i < j)
        for w, r in zip(case["segments"], case["rates"]):
            seen = seen | ((i // w == j // w) & (i % w % r == h % r) & (j % w % r == h % r))
        return seen & (j <= i)

    by_head = "LongNet" in case["kind"]
    mask = create_block_mask(dilated if by_head else window, None, num_heads if by_head else None, n, n, device="cpu")
    grouped = case["numHeads"] != case["numKVHeads"]
    return median(lambda: flex(q, k, v, block_mask=mask, enable_gqa=grouped))


ops = {"pattern": pattern, "attention": attention, "decode": decode, "gemm": product, "gemv": product}
with torch.inference_mode():
    print(json.dumps([ops[c["op"]](c) if c["op"] in ops else None for c in job["cases"]]))
