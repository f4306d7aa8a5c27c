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


ops = {"attention": attention, "decode": decode, "gemm": product, "gemv": product}
with torch.inference_mode():
    print(json.dumps([ops[c["op"]](c) if c["op"] in ops else None for c in job["cases"]]))
