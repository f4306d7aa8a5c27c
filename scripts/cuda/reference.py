"""Attention without a trick, in any dtype: float64 is the oracle, the inputs' own dtype the error that is allowed."""

import math

import torch


class Terms:
    """What a score has besides q·k; all per head where it makes sense."""

    def __init__(self, scale, softcap=0.0):
        self.scale, self.softcap = scale, softcap
        self.slopes = self.bias = self.sinks = self.query_scale = self.distance_bias = self.spans = None
        self.first_distance, self.ramp = 0, 1.0


def scores_of(q, k, heads, terms, dtype, offset):
    """[heads, queries, keys] of the heads of one KV head, as csrc/cpu/flash_attention_softmax.inl orders the steps."""
    x = torch.matmul(q.to(dtype).transpose(0, 1), k.to(dtype).t()) * terms.scale
    if terms.query_scale is not None:
        x = x * terms.query_scale[heads].to(dtype)[:, :, None]
    if terms.softcap:
        x = terms.softcap * torch.tanh(x / terms.softcap)
    distance = torch.arange(q.shape[0], device=q.device)[:, None] + offset - torch.arange(k.shape[0], device=q.device)
    if terms.slopes is not None:
        x = x - terms.slopes[heads].to(dtype)[:, None, None] * distance.abs().to(dtype)
    if terms.distance_bias is not None:
        at = (distance - terms.first_distance).clamp(0, terms.distance_bias.shape[1] - 1)
        x = x + terms.distance_bias[heads].to(dtype)[:, at]
    if terms.spans is not None:
        weight = (terms.spans.double()[None, :] - distance) / terms.ramp + 1
        x = x + weight.clamp(0, 1).log().to(dtype)
    if terms.bias is not None:
        x = x + terms.bias[heads].to(dtype)
    return x


def exact(x, v, sinks):
    """Softmax and product in float64, with lse; rows that see nothing give 0 and −inf."""
    highest = x.amax(-1) if x.shape[-1] else x.new_full(x.shape[:-1], -math.inf)
    if sinks is not None:
        highest = torch.maximum(highest, sinks[:, None])
    shift = torch.where(highest == -math.inf, 0.0, highest)
    p = torch.exp(x - shift[..., None])
    total = p.sum(-1)
    if sinks is not None:
        total = total + torch.exp(sinks[:, None] - shift)
    out = torch.matmul(p, v) / torch.where(total == 0, 1.0, total)[..., None]
    return out, shift + total.log()


def plain(x, v, sinks):
    """The same in the inputs' dtype, with torch's softmax: every step rounds."""
    if sinks is not None:
        x = torch.cat([x, sinks.to(x.dtype)[:, None, None].expand(-1, x.shape[1], 1)], -1)
    p = torch.softmax(x, -1).nan_to_num(0.0)
    return torch.matmul(p[..., : v.shape[0]], v)


def attend(q, k, v, mask, terms, offset, dtype):
    """q [queries, heads, headDim], k and v [keys, KV heads, …], mask [heads or 1, queries, keys]. In float64: out and
    lse; in another dtype: out and None. float64 tensors both."""
    group = q.shape[1] // k.shape[1]
    outs, lses = [], []
    for kv_head in range(k.shape[1]):
        heads = slice(kv_head * group, (kv_head + 1) * group)
        x = scores_of(q[:, heads], k[:, kv_head], heads, terms, dtype, offset)
        x = x.masked_fill(~(mask[heads] if mask.shape[0] > 1 else mask), -math.inf)
        values = v[:, kv_head].to(dtype)
        sinks = terms.sinks[heads].double() if terms.sinks is not None else None
        if dtype == torch.float64:
            out, lse = exact(x, values, sinks)
            lses.append(lse)
        else:
            out = plain(x, values, sinks)
        outs.append(out.double())
    return torch.cat(outs).transpose(0, 1), torch.cat(lses) if lses else None
