# One attention layer of transformers, its projections left out of the clock where the class allows it: kind, tokens.
# Prints {"seconds", "peakBytes"}.
import json, resource, sys, time
import torch

kind, tokens = sys.argv[1], int(sys.argv[2])
torch.manual_seed(0)
hidden, heads = 768, 12
x = torch.rand(1, tokens, hidden) * 2 - 1


class Nothing(torch.nn.Module):  # in the place of a projection
    def __init__(self, *_, **__):
        super().__init__()

    def forward(self, y, *_):
        return y


def reformer():
    from transformers import ReformerConfig
    from transformers.models.reformer.modeling_reformer import LSHSelfAttention

    config = ReformerConfig(
        hidden_size=hidden, num_attention_heads=heads, attention_head_size=hidden // heads, num_hashes=1,
        lsh_attn_chunk_length=64, lsh_num_chunks_before=1, lsh_num_chunks_after=0, num_buckets=None, is_decoder=True,
        max_position_embeddings=tokens, lsh_attention_probs_dropout_prob=0.0, axial_pos_embds=False, hash_seed=1,
    )
    layer = LSHSelfAttention(config).eval()
    layer.query_key = layer.value = Nothing()
    return lambda: layer(hidden_states=x, num_hashes=1)


def longformer():
    from transformers import LongformerConfig
    from transformers.models.longformer.modeling_longformer import LongformerSelfAttention

    config = LongformerConfig(hidden_size=hidden, num_attention_heads=heads, attention_window=[512],
                              attention_probs_dropout_prob=0.0)
    layer = LongformerSelfAttention(config, 0).eval()
    layer.query = layer.key = layer.value = Nothing()
    mask = torch.zeros(1, tokens)
    is_masked, is_global = mask < 0, mask > 0
    return lambda: layer(x, attention_mask=mask, is_index_masked=is_masked, is_index_global_attn=is_global,
                         is_global_attn=False)


def bigBird():
    from transformers import BigBirdConfig
    from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention

    config = BigBirdConfig(hidden_size=hidden, num_attention_heads=heads, max_position_embeddings=tokens,
                           num_random_blocks=3, block_size=64, attention_probs_dropout_prob=0.0)
    layer = BigBirdBlockSparseAttention(config, seed=0).eval()
    layer.query = layer.key = layer.value = Nothing()
    blocks = torch.ones(1, tokens // 64, 64)
    band = torch.einsum("blq,blk->blqk", blocks[:, 2:-2], torch.cat([blocks[:, 1:-3], blocks[:, 2:-2], blocks[:, 3:-1]], 2))
    full = torch.ones(1, 1, 1, tokens)
    return lambda: layer(x, band_mask=band.unsqueeze(1), from_mask=full.transpose(2, 3), to_mask=full,
                         from_blocked_mask=blocks, to_blocked_mask=blocks)


with torch.inference_mode():
    run = {"reformer": reformer, "longformer": longformer, "bigBird": bigBird}[kind]()
    least = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        run()
        least = min(least, time.perf_counter() - start)
print(json.dumps({"seconds": least, "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))
