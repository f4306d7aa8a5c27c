// The `attention` row of the table.

void attention(const AttentionArgs& args, Parallel& parallel) { flashAttention(args, parallel); }
