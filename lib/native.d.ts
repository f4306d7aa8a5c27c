// Printed from the C++ signatures by scripts/types.mjs; never edited by hand.
import type { Tensor } from "./tensor.js";
declare const isPackedMatrix: unique symbol;
/** A native value; let go of it with dispose. */
export interface PackedMatrix { readonly [isPackedMatrix]: true }
declare const isKVCache: unique symbol;
/** A native value; let go of it with dispose. */
export interface KVCache { readonly [isKVCache]: true }
declare const isRecording: unique symbol;
/** A native value; let go of it with dispose. */
export interface Recording { readonly [isRecording]: true }
declare const isSafetensorsFile: unique symbol;
/** A native value; let go of it with dispose. */
export interface SafetensorsFile { readonly [isSafetensorsFile]: true }
/** What lib/patterns builds. */
export interface PatternSpec { /** full, causal, window, sinks, prefix, chunks … (csrc/ops/concrete_pattern.cc) */ kind?: string; /** keys before the own position; chunks: whole chunks */ before?: number; /** keys after the own position; chunks: whole chunks */ after?: number; /** sinks, prefix: first tokens that stay visible; augmented: last keys */ tokens?: number; /** chunks: positions in a chunk; diagonals: blocks that lines are rounded out to */ size?: number; /** chunks: by how much the first one is shorter */ shift?: number; /** dilatedWindow: distance from a visible key to the next */ rate?: number; /** dilatedWindow: nearest keys that are left out, in rates */ skip?: number; /** residues: keys with key % period in [first, end) */ period?: number; /** residues: the first remainder; distances: the least of query − key; chunkDistances: of their chunks */ first?: number; /** residues, distances, chunkDistances: behind the last one */ end?: number; /** blocks: positions in a row of blocks */ blockQ?: number; /** blocks: keys in a column of blocks */ blockKV?: number; /** blocks: the row of blocks the lists begin with */ firstRow?: number; /** elements: position of the mask's first row */ firstQuery?: number; /** elements: position of the mask's first column */ firstKey?: number; /** chunks, documents, longnet: no later key */ causal?: boolean; /** longnet: segment lengths */ segments?: number[]; /** longnet: dilation of each segment length */ rates?: number[]; /** longnet: "mod" (the paper) or "block" (torchscale) */ headOffset?: string; /** longnet: segments are filled up with keys of zeros (torchscale) */ zeroPadding?: boolean; /** documents: where each begins; keys, queries: begin and end of each span */ bounds?: Tensor | Int32Array | BigInt64Array | number[]; /** blocks: where each row's list begins in columns */ rowStart?: Tensor | Int32Array | BigInt64Array | number[]; /** blocks: [entries] int32 with rowStart, or [batch, heads, rows, perRow], rows ending in −1; diagonals: [batch, heads, 1, count], distances before a query */ columns?: Tensor; /** elements: [rows, columns] uint8 */ mask?: Tensor; /** union, intersect, sum, perHead, augmented, blocks (within): the parts */ of?: PatternSpec[]; }
/** Tells the addon which class results are made of, how its errors become JavaScript ones, and whom to tell of an op that a device has no kernel for. */
export function setClasses(tensorClass: unknown, errorFactory: (code: string, message: string, fields: Record<string, unknown>) => Error, notice: (op: string, device: string) => void): void;
/** Gives a new Tensor object its memory. */
export function initTensor(target: object, dtype: string, data: object, shape: readonly number[], device?: string): void;
/** Gives a new Tensor object the memory of a typed array. */
export function initView(target: object, array: object, shape: readonly number[], dtype?: string): void;
/** Gives a new Tensor object the result of the op that makes it; false where there is none. */
export function takeResult(target: object): boolean;
/** The tensor's dtype. */
export function dtypeOf(tensor: Tensor): string;
/** The tensor's shape. */
export function shapeOf(tensor: Tensor): number[];
/** Where the tensor's memory is. */
export function deviceOf(tensor: Tensor): string;
/** The tensor's values, once they are there. */
export function readTensor(tensor: Tensor, readId: number): Promise<Float32Array | Uint16Array | Int8Array | Uint8Array | Int32Array | BigInt64Array>;
/** Stops what computes the tensor. */
export function cancelTensor(tensor: Tensor, abortId: number): void;
/** Stops what computes the tensor that is being read. */
export function cancelRead(readId: number, abortId: number): void;
/** Lets go of the native memory behind a handle. */
export function dispose(handle: object): void;
/** Whether the tensor was disposed. */
export function isDisposed(tensor: Tensor): boolean;
/** Resolves when everything enqueued so far has run. */
export function idle(): Promise<void>;
/** Resolves when the queue is at most half full. */
export function ready(): Promise<void>;
/** softmax(scale · q kᵀ + mask) v in O(seqLen) memory. q [batch, seqLenQ, numHeads, headDim], k [batch, seqLenKV, numKVHeads, headDim], v [batch, seqLenKV, numKVHeads, valueDim]. */
export function flashAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** keys before (and after) the own position that a query sees; n means {before: n, after: causal ? 0 : n} */ window?: number | { before: number; after?: number }; /** which keys a query sees; instead of causal and window */ pattern?: PatternSpec; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** scores become softcap · tanh(score / softcap) */ softcap?: number; /** [numHeads] float32: slope · |key position − query position| is taken from the scores */ alibiSlopes?: Tensor; /** broadcastable to [batch, numHeads, seqLenQ, seqLenKV], added to the scores */ bias?: Tensor; /** [numHeads] float32: one more logit per head in the softmax, without a value (gpt-oss) */ sinkLogits?: Tensor; /** broadcastable to [batch, numHeads, seqLenQ]: factor on a query's scores (by head, by log n) */ queryScale?: Tensor; /** [numHeads or 1, distances], added to the scores by query position − key position; beyond the table its ends */ distanceBias?: Tensor; /** the distance of distanceBias[…, 0]; 0 if absent */ firstDistance?: number; /** [batch, seqLenKV]: a key is seen in full to this distance (Expire-Span) */ expireSpans?: Tensor; /** over how many positions its weight then falls to 0; 32 */ expireRamp?: number; /** [sequences + 1]: sequences behind each other in q; row r of sequence s is cuSeqLensQ[s] + r */ cuSeqLensQ?: Tensor | Int32Array | BigInt64Array | number[]; /** the same for k and v; cuSeqLensQ if absent */ cuSeqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch]: only so many keys of each sequence are there */ seqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch, blocks] int32: k and v are pages [numPages, pageSize, numKVHeads, dim]; block b of a sequence is page blockTable[sequence, b] */ blockTable?: Tensor; /** also give lse [batch, numHeads, seqLenQ] float32, natural log */ returnLse?: boolean; }): Tensor | { out: Tensor; lse: Tensor };
/** What flashAttention would do: kernel, tiles, flops, bytes. */
export function explainAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** keys before (and after) the own position that a query sees; n means {before: n, after: causal ? 0 : n} */ window?: number | { before: number; after?: number }; /** which keys a query sees; instead of causal and window */ pattern?: PatternSpec; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** scores become softcap · tanh(score / softcap) */ softcap?: number; /** [numHeads] float32: slope · |key position − query position| is taken from the scores */ alibiSlopes?: Tensor; /** broadcastable to [batch, numHeads, seqLenQ, seqLenKV], added to the scores */ bias?: Tensor; /** [numHeads] float32: one more logit per head in the softmax, without a value (gpt-oss) */ sinkLogits?: Tensor; /** broadcastable to [batch, numHeads, seqLenQ]: factor on a query's scores (by head, by log n) */ queryScale?: Tensor; /** [numHeads or 1, distances], added to the scores by query position − key position; beyond the table its ends */ distanceBias?: Tensor; /** the distance of distanceBias[…, 0]; 0 if absent */ firstDistance?: number; /** [batch, seqLenKV]: a key is seen in full to this distance (Expire-Span) */ expireSpans?: Tensor; /** over how many positions its weight then falls to 0; 32 */ expireRamp?: number; /** [sequences + 1]: sequences behind each other in q; row r of sequence s is cuSeqLensQ[s] + r */ cuSeqLensQ?: Tensor | Int32Array | BigInt64Array | number[]; /** the same for k and v; cuSeqLensQ if absent */ cuSeqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch]: only so many keys of each sequence are there */ seqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch, blocks] int32: k and v are pages [numPages, pageSize, numKVHeads, dim]; block b of a sequence is page blockTable[sequence, b] */ blockTable?: Tensor; /** also give lse [batch, numHeads, seqLenQ] float32, natural log */ returnLse?: boolean; }): { /** instruction set of the kernels */ isa: string; /** 2 · (headDim + valueDim) for each allowed pair */ flops: number; /** inputs read once, the output written once */ bytes: number; /** what is summed; one for a pattern that is no sum */ parts: { /** the struct that is walked */ pattern?: string; /** flash attention or decode attention */ kernel?: string; /** dtype that the products multiply; sums are float32 */ product?: string; /** positions of a work item */ queriesPerItem?: number; /** query heads that share its keys */ headsPerItem?: number; /** keys in a tile */ keysPerTile?: number; /** work items */ items?: number; /** in how many parts of the keys an item is cut */ keyParts?: number; /** memory beside inputs and outputs */ scratchBytesPerThread?: number; /** query-key pairs, over all sequences and query heads */ allowedPairs?: number; }[]; };
/** Shared query-key attention among tokens that hash to nearby places (Reformer). */
export function lshAttention(qk: Tensor, v: Tensor, options?: { /** independent hashes; 4 if absent */ rounds?: number; /** of a round, even; about seqLen / chunk if absent */ buckets?: number; /** tokens of the sorted list that see each other; 64 if absent */ chunk?: number; /** chunks before its own that a chunk sees; 1 if absent */ lookBack?: number; /** chunks after its own that a chunk sees; 0 if absent */ lookAhead?: number; /** a token sees no later token */ causal?: boolean; /** of the rotations; 0 if absent */ seed?: number; /** "exact": a pair counts once, however many rounds show it; "per-round": once for each round */ duplicates?: string; /** what the first chunk looks back on: the last of its own "round", or that of the round before: "rounds" */ wrap?: string; /** tokens of other buckets in the seen chunks are seen too; true if absent */ attendAcrossBuckets?: boolean; /** [rounds, headDim, columns] or [rounds, numHeads, headDim, columns], instead of seed; columns = buckets / 2, or the sum of factor / 2 */ rotations?: Tensor; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** also give lse [batch, numHeads, seqLen] float32, natural log */ returnLse?: boolean; /** also give buckets [rounds, batch, numHeads, seqLen] int32 */ returnBuckets?: boolean; }): Tensor | { out: Tensor; lse?: Tensor; buckets?: Tensor };
/** The last token's lshAttention over the hashes of those before it. */
export function lshDecodeAttention(qk: Tensor, v: Tensor, buckets: Tensor, options?: { /** of a round, as the known tokens were hashed */ buckets?: number; /** 64 if absent */ chunk?: number; /** a round shows the last (lookBack + 1) · chunk tokens of the bucket; 1 if absent */ lookBack?: number; /** of the rotations; 0 if absent */ seed?: number; /** as for lshAttention */ duplicates?: string; /** as for lshAttention */ rotations?: Tensor; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** also give lse [batch, numHeads, 1] float32 */ returnLse?: boolean; }): Tensor | { out: Tensor; lse?: Tensor; buckets?: Tensor };
/** Attention between queries and keys of equal hash (SCFA). */
export function hashSparseAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** how many hashes there are, even; 16 if absent */ buckets?: number; /** [headDim, columns] or [numKVHeads, headDim, columns], instead of seed; columns = buckets / 2, or the sum of factor / 2 */ rotations?: Tensor; /** [batch, seqLenQ, numHeads] int32, int8 or uint8: given hashes, with hashesK */ hashesQ?: Tensor; /** [batch, seqLenKV, numKVHeads], with hashesQ */ hashesK?: Tensor; /** of the rotations; 0 if absent */ seed?: number; /** only earlier keys; the last query is aligned with the last key; true if absent */ causal?: boolean; /** causal: the own position too */ includeSelf?: boolean; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** also give lse [batch, numHeads, seqLenQ] float32, natural log */ returnLse?: boolean; }): Tensor | { out: Tensor; lse: Tensor };
/** Attention between kept queries and keys (SCFA). */
export function qkSparseAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** [batch, seqLenQ, numHeads] int32, int8 or uint8: 0 drops a query, its out is 0; all kept if absent */ keepQ?: Tensor; /** [batch, seqLenKV, numKVHeads]: 0 drops a key; all kept if absent */ keepK?: Tensor; /** no later key; the last query is aligned with the last key; true if absent */ causal?: boolean; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** also give lse [batch, numHeads, seqLenQ] float32, natural log */ returnLse?: boolean; }): Tensor | { out: Tensor; lse: Tensor };
/** Attention inside clusters of queries and keys (Routing Transformer). */
export function routingAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** [numHeads, clusters, headDim] */ centroids?: Tensor; /** "balanced": queries and keys of a cluster; seqLenQ / clusters and seqLenKV / clusters if absent */ window?: number; /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** "argmax": every token is in its nearest cluster; "balanced": every cluster has its `window` nearest queries and keys */ selection?: string; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; }): Tensor;
/** How many parts of the pattern let query q see key kv; 0: it does not. */
export function patternMultiplicity(pattern: PatternSpec, q: number, kv: number, place?: { /** queries */ seqLenQ?: number; /** keys */ seqLenKV?: number; /** which sequence of the batch */ batch?: number; /** which query head */ head?: number; /** query heads; head + 1 if absent */ numHeads?: number; /** sequences in the batch; batch + 1 if absent */ batches?: number; }): number;
/** What `count` queries see: query, begin, end and multiplicity of each run of keys. */
export function patternRuns(pattern: PatternSpec, firstQuery: number, count: number, place?: { /** queries */ seqLenQ?: number; /** keys */ seqLenKV?: number; /** which sequence of the batch */ batch?: number; /** which query head */ head?: number; /** query heads; head + 1 if absent */ numHeads?: number; /** sequences in the batch; batch + 1 if absent */ batches?: number; }): number[];
/** How many pairs are visible, each as often as it is. */
export function patternAllowedPairs(pattern?: PatternSpec, place?: { /** queries */ seqLenQ?: number; /** keys */ seqLenKV?: number; /** which sequence of the batch */ batch?: number; /** which query head */ head?: number; /** query heads; head + 1 if absent */ numHeads?: number; /** sequences in the batch; batch + 1 if absent */ batches?: number; }): number;
/** Attention over keys and values that a projection along the sequence made few. */
export function linformerAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** E: [seqLen or more, rows] for all heads, or [numKVHeads, seqLen or more, rows]; any float dtype */ projectionK?: Tensor; /** F, for the values; projectionK if absent */ projectionV?: Tensor; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** refused: a projection mixes later tokens into every key */ causal?: boolean; }): Tensor;
/** Attention by way of an extra sequence of one length. */
export function lunaAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** the extra sequence P: [extraLen, heads, headDim] or [batch, extraLen, heads, headDim] */ extra?: Tensor; /** the causal form, whose state has one size at any length */ causal?: boolean; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** causal: what returnState gave for the tokens before */ state?: { /** [batch, heads, headDim, extraLen] float32 */ keySums: Tensor; /** [batch, heads, extraLen, valueDim] float32 */ valueSums: Tensor; /** how many keys are in the sums */ positions?: number; }; /** not causal: also give the packed sequence, as `extra` */ returnExtra?: boolean; /** causal: also give the state after the last token */ returnState?: boolean; }): Tensor | { out: Tensor; extra?: Tensor; state?: { /** [batch, heads, headDim, extraLen] float32 */ keySums: Tensor; /** [batch, heads, extraLen, valueDim] float32 */ valueSums: Tensor; /** how many keys are in the sums */ positions: number; } };
/** Near keys one by one, far keys as means over powers of two. */
export function hierarchicalAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** tokens of a block, 1 to 512 */ blockSize?: number; /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** queries are means as well at coarse levels, as in the paper; the default unless causal */ coarsenQueries?: boolean; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; }): Tensor;
/** Causal attention whose positions are counted by gates. */
export function copeAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** [positions, headDim] for all heads, or [numHeads, positions, headDim]; any float dtype */ positionEmbeddings?: Tensor; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** "code": the factor also goes to gates and positions; "paper": to q·k alone */ variant?: string; }): Tensor;
/** Attention to earlier blocks by way of a landmark token at their end. */
export function landmarkAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** tokens of a block with its landmark, which is the last: 2 to 512 */ blockSize?: number; /** earlier blocks that a query opens, by landmark score; all if absent */ topK?: number; /** false is refused: a block is known by the landmark at its end */ causal?: boolean; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; }): Tensor;
/** Attention over the union of disjoint key sets, from the parts' out and lse. */
export function mergeAttention(parts: { /** [batch, seqLenQ, numHeads, valueDim] */ out: Tensor; /** [batch, numHeads, seqLenQ] float32 */ lse: Tensor; }[]): { /** [batch, seqLenQ, numHeads, valueDim] */ out: Tensor; /** [batch, numHeads, seqLenQ] float32 */ lse: Tensor; };
/** φ(q) (Σ φ(k)ᵀ v) / (φ(q) · Σ φ(k) + epsilon), in time linear in the length. */
export function linearAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** "elu": elu(x) + 1; "relu"; "identity": q and k are features already */ featureMap?: string; /** added to the denominator */ epsilon?: number; /** of the keys before these, as returnState gave it */ state?: { /** [batch, numHeads, features, valueDim] float32: Σ key featuresᵀ value */ values: Tensor; /** [batch, numHeads, features] float32: Σ key features */ keys: Tensor; /** [batch, numHeads] float32: values and keys are to be multiplied by e^logScale (performerAttention) */ logScale?: Tensor; }; /** also give the state after the last key */ returnState?: boolean; }): Tensor | { out: Tensor; state: { /** [batch, numHeads, features, valueDim] float32: Σ key featuresᵀ value */ values: Tensor; /** [batch, numHeads, features] float32: Σ key features */ keys: Tensor; /** [batch, numHeads] float32: values and keys are to be multiplied by e^logScale (performerAttention) */ logScale?: Tensor; } };
/** softmax attention estimated by positive orthogonal random features. */
export function performerAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** rows of the projection; ⌊headDim · ln headDim⌋ if absent */ features?: number; /** [features, headDim], instead of features, seed and orthogonalScaling */ projection?: Tensor; /** of the projection, from 0 */ seed?: number; /** rows of the projection have length √headDim instead of the lengths of Gaussian vectors */ orthogonalScaling?: boolean; /** "softmax": e^(w·x − |x|²/2); "relu": max(w·x, 0) + epsilon */ kernel?: string; /** of kernel "relu"; 1e-3 if absent */ epsilon?: number; /** features of x and of −x, twice as many: less variance */ hyperbolic?: boolean; /** of the q·k that is estimated; headDim ** -0.5 if absent */ scale?: number; /** of the keys before these, as returnState gave it */ state?: { /** [batch, numHeads, features, valueDim] float32: Σ key featuresᵀ value */ values: Tensor; /** [batch, numHeads, features] float32: Σ key features */ keys: Tensor; /** [batch, numHeads] float32: values and keys are to be multiplied by e^logScale (performerAttention) */ logScale?: Tensor; }; /** also give the state after the last key */ returnState?: boolean; }): Tensor | { out: Tensor; state: { /** [batch, numHeads, features, valueDim] float32: Σ key featuresᵀ value */ values: Tensor; /** [batch, numHeads, features] float32: Σ key features */ keys: Tensor; /** [batch, numHeads] float32: values and keys are to be multiplied by e^logScale (performerAttention) */ logScale?: Tensor; } };
/** [features, headDim] float32: Gaussian rows, orthogonal in blocks of headDim. */
export function performerProjection(options?: { /** width of q and k */ headDim?: number; /** rows; ⌊headDim · ln headDim⌋ if absent */ features?: number; /** of the random numbers, from 0 */ seed?: number; /** rows of length √headDim instead of the lengths of Gaussian vectors */ orthogonalScaling?: boolean; }): Tensor;
/** Exact softmax scores within a window, random features elsewhere. */
export function scatterbrainAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** keys around the own position that are exact; n means {before: n, after: causal ? 0 : n}; none if absent */ window?: number | { before: number; after?: number }; /** rows of the projection; ⌊headDim · ln headDim⌋ if absent */ features?: number; /** [features, headDim], instead of features, seed and orthogonalScaling */ projection?: Tensor; /** of the projection, from 0 */ seed?: number; /** rows of the projection have length √headDim instead of the lengths of Gaussian vectors */ orthogonalScaling?: boolean; /** features of x and of −x, twice as many: less variance */ hyperbolic?: boolean; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; }): Tensor;
/** o = q S with S = gamma · S + scale · kᵀ v at each step (RetNet). */
export function retention(q: Tensor, k: Tensor, v: Tensor, options?: { /** [numHeads] decay of a step, in [0, 1]; 1 − 2^(−5 − head) if absent */ gammas?: Tensor | Float64Array | Float32Array | number[]; /** factor on k; headDim ** -0.5 if absent */ scale?: number; /** [batch, numHeads, headDim, valueDim] of the keys before these */ state?: Tensor; /** also give the state after the last key */ returnState?: boolean; }): Tensor | { out: Tensor; state: Tensor };
/** o = scale · q S with S = diag(e^gate) S + kᵀ v at each step (GLA). */
export function gatedLinearAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** [batch, seqLenKV, numHeads or numKVHeads, headDim] log of the decay of a step; required */ gates?: Tensor; /** factor on q; headDim ** -0.5 if absent */ scale?: number; /** [batch, numHeads, headDim, valueDim] of the keys before these */ state?: Tensor; /** also give the state after the last key */ returnState?: boolean; }): Tensor | { out: Tensor; state: Tensor };
/** o = scale · q S with S += beta · kᵀ (v − k S) at each step (DeltaNet). */
export function deltaNet(q: Tensor, k: Tensor, v: Tensor, options?: { /** [batch, seqLenKV, numHeads or numKVHeads] how far a value is moved towards the new one; required */ beta?: Tensor; /** factor on q; headDim ** -0.5 if absent */ scale?: number; /** [batch, numHeads, headDim, valueDim] of the keys before these */ state?: Tensor; /** also give the state after the last key */ returnState?: boolean; }): Tensor | { out: Tensor; state: Tensor };
/** Rotary position embedding of x [batch, seqLen, numHeads, headDim]; positions [seqLen] or [batch, seqLen]. */
export function rope(x: Tensor, positions: Tensor | Int32Array | BigInt64Array | number[], options?: { /** [rotaryDim / 2] radians per position; dims beyond rotaryDim pass through */ frequencies?: Tensor | Float64Array | Float32Array | number[]; /** factor on the rotated dims */ attentionScale?: number; /** "half" pairs dim i with i + rotaryDim / 2, "interleaved" pairs 2i with 2i + 1 */ layout?: string; /** a position p counts as p · positionStep + positionOffset, which may be a fraction; 1 if absent */ positionStep?: number; /** 0 if absent */ positionOffset?: number; }): Tensor;
/** x / rms(x) · weight over the last axis. */
export function rmsNorm(x: Tensor, weight?: Tensor | null, options?: { /** added to the variance */ epsilon?: number; }): Tensor;
/** (x − mean) / std · weight + bias over the last axis. */
export function layerNorm(x: Tensor, weight?: Tensor | null, bias?: Tensor | null, options?: { /** added to the variance */ epsilon?: number; }): Tensor;
/** a [..., m, k] times b [k, n] (or [n, k] with transposeB). */
export function matmul(a: Tensor, b: Tensor, options?: { /** [n], added to every row */ bias?: Tensor; /** [..., m, n], added after the activation */ residual?: Tensor; /** none, silu, gelu, geluTanh or relu, after the bias */ activation?: string; /** b is [n, k] instead of [k, n] */ transposeB?: boolean; }): Tensor;
/** x [..., k] times a packed weight [n, k] transposed. */
export function linear(x: Tensor, weight: PackedMatrix, options?: { /** [n], added to every row */ bias?: Tensor; /** [..., m, n], added after the activation */ residual?: Tensor; /** none, silu, gelu, geluTanh or relu, after the bias */ activation?: string; /** b is [n, k] instead of [k, n] */ transposeB?: boolean; }): Tensor;
/** A weight [outFeatures, inFeatures] in the panels that linear reads. */
export function packWeight(weight: Tensor, options?: { /** of the panels: a float dtype, or q8_0 or q4_0; the weight's own if absent */ dtype?: string; }): PackedMatrix;
/** Rows of weight [vocabSize, hiddenSize] by id. */
export function embedding(ids: Tensor | Int32Array | BigInt64Array | number[], weight: Tensor): Tensor;
/** activation(gate) · up; without up activation(gate). */
export function gatedActivation(gate: Tensor, up?: Tensor | null, options?: { /** silu, gelu (erf), geluTanh or relu */ activation?: string; }): Tensor;
/** a + b, broadcast. */
export function add(a: Tensor, b: Tensor): Tensor;
/** a · b, broadcast. */
export function multiply(a: Tensor, b: Tensor): Tensor;
/** softmax over the last axis. */
export function softmax(x: Tensor): Tensor;
/** Index of the largest along the last axis, int32; the first of equals. */
export function argmax(x: Tensor): Tensor;
/** The k largest along the last axis, descending. */
export function topK(x: Tensor, options?: { /** how many */ k?: number; }): { /** [..., k] float32, descending */ values: Tensor; /** [..., k] int32 */ indices: Tensor; };
/** −log softmax(logits)[target] of each row, float32. */
export function nll(logits: Tensor, targets: Tensor | Int32Array | BigInt64Array | number[]): Tensor;
/** nll of targets that an op chose: nobody waits to check them. */
export function nllOfChosen(logits: Tensor, targets: Tensor | Int32Array | BigInt64Array | number[]): Tensor;
/** Pages of keys with the highest bounds on q·k. */
export function selectQuest(q: Tensor, k: Tensor, options?: { /** keys in a page */ pageSize?: number; /** keys that a query may see */ tokenBudget?: number; /** pages at least */ minPages?: number; /** no page behind the query's own */ causal?: boolean; }): Tensor;
/** Chunks whose mean key scores highest, and the own. */
export function selectMoba(q: Tensor, k: Tensor, options?: { /** keys in a chunk */ chunkSize?: number; /** chunks, the own one among them */ topK?: number; /** no chunk behind the query's own */ causal?: boolean; }): Tensor;
/** Blocks whose representative keys score highest for blocks of queries. */
export function selectInfLlm(q: Tensor, k: Tensor, options?: { /** keys in a block */ blockSize?: number; /** blocks beside the recent ones */ topK?: number; /** keys whose mean stands for a block; 0: all */ representatives?: number; /** keys that a query sees in any case, its own among them */ local?: number; /** first keys, which are seen by all and not chosen */ initial?: number; /** positions that choose together */ queryBlock?: number; /** each query head chooses for itself, else all together */ perHead?: boolean; }): Tensor;
/** Blocks with the most attention to compressed keys, for each query and key/value head. */
export function selectNsa(q: Tensor, k: Tensor, options?: { /** keys in a block that is chosen */ blockSize?: number; /** keys in a compressed key */ compressBlock?: number; /** from one compressed key to the next */ compressStride?: number; /** blocks, the forced ones among them */ topBlocks?: number; /** first blocks, forced */ initialBlocks?: number; /** last blocks, forced */ localBlocks?: number; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; }): Tensor;
/** Blocks of keys whose mean scores highest for the mean of a block of queries. */
export function selectMinferenceBlocks(q: Tensor, k: Tensor, options?: { /** positions in a block of queries and of keys */ blockSize?: number; /** blocks of keys for each of queries */ topK?: number; /** no block behind the own one */ causal?: boolean; }): Tensor;
/** The fewest blocks that hold a share of attention, by sums along antidiagonals. */
export function selectXAttention(q: Tensor, k: Tensor, options?: { /** positions in a tile */ stride?: number; /** positions in a block */ blockSize?: number; /** share of the estimated attention that is kept */ threshold?: number; /** divides the scores */ norm?: number; /** no later tile */ causal?: boolean; /** the first block of keys in any case */ keepSink?: boolean; /** the last visible block of keys in any case */ keepRecent?: boolean; }): Tensor;
/** The keys that score highest for each query. */
export function selectTopKeys(q: Tensor, k: Tensor, options?: { /** keys for each query */ k?: number; /** no later key */ causal?: boolean; }): Tensor;
/** Columns and diagonals that hold most of the attention of the last queries. */
export function selectVerticalSlash(q: Tensor, k: Tensor, options?: { /** columns, the forced ones among them */ vertical?: number; /** diagonals, the forced ones among them */ slash?: number; /** queries whose attention is looked at */ lastQueries?: number; /** forced */ firstColumns?: number; /** forced */ nearDiagonals?: number; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; }): { /** [batch, numHeads, 1, count] int32: keys */ columns: Tensor; /** [batch, numHeads, 1, count] int32: distances before a query */ offsets: Tensor; };
/** The same elements in another shape; one extent may be −1. */
export function reshape(tensor: Tensor, shape: number[]): Tensor;
/** A view with two axes exchanged. */
export function transpose(tensor: Tensor, a: number, b: number): Tensor;
/** A view of [starts, ends); negative numbers count from the end. */
export function slice(tensor: Tensor, starts: number[], ends: number[]): Tensor;
/** A view of one axis' [start, start + length). */
export function narrow(tensor: Tensor, axis: number, start: number, length: number): Tensor;
/** The tensor in another dtype. */
export function cast(tensor: Tensor, dtype: string): Tensor;
/** The tensor on another device. */
export function toDevice(tensor: Tensor, device: string): Tensor;
/** Tensors one behind the other along an axis, in memory of their own. */
export function concatenate(tensors: Tensor[], axis: number): Tensor;
/** The tensor in dense row-major memory. */
export function contiguous(tensor: Tensor): Tensor;
/** An empty key/value cache that grows as keys are appended. */
export function createKVCache(options?: { /** layers that keep keys and values */ numLayers?: number; /** key/value heads of a layer */ numKVHeads?: number; /** width of a key */ headDim?: number; /** width of a value; headDim if absent */ valueDim?: number; /** float32 or bfloat16; on a CUDA device also int8 or float8 (e4m3), with a scale for each row */ dtype?: string; /** where it is kept; LONGSPAN_DEVICE, else cpu, if absent */ device?: string; /** 1, or 2: the same keys turned in two ways, beside one set of values */ keySets?: number; }): KVCache;
/** Appends k [1, seqLen, numKVHeads, headDim], v and, where there are two sets of keys, k2 to a layer. */
export function cacheAppend(cache: KVCache, layer: number, k: Tensor, v: Tensor, k2?: Tensor | null): void;
/** rope of q and k, and cacheAppend of k and v, in one; gives q. For a cache with one set of keys. */
export function ropeAppend(cache: KVCache, layer: number, q: Tensor, k: Tensor, v: Tensor, positions: Tensor | Int32Array | BigInt64Array | number[], options?: { /** [rotaryDim / 2] radians per position; dims beyond rotaryDim pass through */ frequencies?: Tensor | Float64Array | Float32Array | number[]; /** factor on the rotated dims */ attentionScale?: number; /** "half" pairs dim i with i + rotaryDim / 2, "interleaved" pairs 2i with 2i + 1 */ layout?: string; /** a position p counts as p · positionStep + positionOffset, which may be a fraction; 1 if absent */ positionStep?: number; /** 0 if absent */ positionOffset?: number; }): Tensor;
/** flashAttention of q [1, seqLenQ, numHeads, headDim] over a layer's keys. */
export function cacheAttention(q: Tensor, cache: KVCache, layer: number, options?: { /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** keys before (and after) the own position that a query sees; n means {before: n, after: causal ? 0 : n} */ window?: number | { before: number; after?: number }; /** which keys a query sees; instead of causal and window */ pattern?: PatternSpec; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** scores become softcap · tanh(score / softcap) */ softcap?: number; /** [numHeads] float32: slope · |key position − query position| is taken from the scores */ alibiSlopes?: Tensor; /** broadcastable to [batch, numHeads, seqLenQ, seqLenKV], added to the scores */ bias?: Tensor; /** [numHeads] float32: one more logit per head in the softmax, without a value (gpt-oss) */ sinkLogits?: Tensor; /** broadcastable to [batch, numHeads, seqLenQ]: factor on a query's scores (by head, by log n) */ queryScale?: Tensor; /** [numHeads or 1, distances], added to the scores by query position − key position; beyond the table its ends */ distanceBias?: Tensor; /** the distance of distanceBias[…, 0]; 0 if absent */ firstDistance?: number; /** [batch, seqLenKV]: a key is seen in full to this distance (Expire-Span) */ expireSpans?: Tensor; /** over how many positions its weight then falls to 0; 32 */ expireRamp?: number; /** [sequences + 1]: sequences behind each other in q; row r of sequence s is cuSeqLensQ[s] + r */ cuSeqLensQ?: Tensor | Int32Array | BigInt64Array | number[]; /** the same for k and v; cuSeqLensQ if absent */ cuSeqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch]: only so many keys of each sequence are there */ seqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch, blocks] int32: k and v are pages [numPages, pageSize, numKVHeads, dim]; block b of a sequence is page blockTable[sequence, b] */ blockTable?: Tensor; /** also give lse [batch, numHeads, seqLenQ] float32, natural log */ returnLse?: boolean; }, keySet?: number | null): Tensor | { out: Tensor; lse: Tensor };
/** Forgets all keys from `length` on. */
export function cacheTruncate(cache: KVCache, length: number): void;
/** Keeps the ops that follow instead of running them; step [2] is token and position. */
export function beginRecording(step: Tensor): void;
/** What was kept, as one graph of the device. */
export function endRecording(): Recording;
/** Forgets what was kept. */
export function dropRecording(): void;
/** [1] int32: 0 where the device could not capture it. */
export function isCaptured(recording: Recording): Tensor;
/** Runs a recording; false where the cache's memory is no longer that of the recording. */
export function replay(recording: Recording, cache: KVCache, token: number, position: number): boolean;
/** Keys in a layer. */
export function cacheLength(cache: KVCache, layer: number): number;
/** Bytes held. */
export function cacheBytes(cache: KVCache): number;
/** Maps a safetensors file and checks its header. */
export function openSafetensors(path: string): SafetensorsFile;
/** What the file's header says. */
export function safetensorsFacts(file: SafetensorsFile): { tensors: { name: string; dtype: string; shape: number[] }[]; metadata: { key: string; value: string }[] };
/** A tensor as a view on the mapped file, which it keeps open. */
export function safetensorsTensor(file: SafetensorsFile, name: string): Tensor;
/** Kernels, threads and limits in use. */
export function machine(): { /** kernels in use */ isa: string; /** kernels this machine can run */ isas: string[]; /** bfloat16 products without widening */ nativeBFloat16: boolean; /** compute threads */ threads: number; /** limit of pending output bytes */ queueBytes: number; /** where new tensors and models are put */ device: string; /** silent, error, warn, info or debug */ logLevel: string; };
/** The CUDA plugin: what it found, or why it is not used. */
export function cuda(): { /** the plugin that was opened */ file: string; /** why no GPU is used; empty when one can be */ reason: string; /** GPUs found */ devices: string[]; };
/** Why a device other than cpu cannot be used. */
export function deviceReason(device: string): { /** why the device cannot be used; empty when it can */ reason: string; };
/** The device's name; none given is LONGSPAN_DEVICE, else cpu. Throws unless tensors can live there. */
export function requireDevice(op: string, device?: string | null): string;
/** The memory of a device. */
export function deviceMemory(device: string): { /** held by tensors and caches there now */ usedBytes: number; /** what may still be allocated there */ availableBytes: number; };
/** The memory budget and what is used of it. */
export function memory(): { /** held by tensors, caches and scratch now */ usedBytes: number; /** what they may hold in all */ budgetBytes: number; /** what may still be allocated */ availableBytes: number; /** outputs that wait in the queue */ pendingBytes: number; };
/** An own limit besides the system's; 0 for none. */
export function setMemoryBudget(bytes: number): void;
/** Limit of pending output bytes. */
export function setQueueBytes(bytes: number): void;
/** Compute threads; 0 for the default. */
export function setThreads(threads: number): void;
/** Reads the tensor's bytes once, to measure against. */
export function plainRead(tensor: Tensor): Tensor;
/** [float32 FLOP/s, bfloat16 FLOP/s, bytes read per second] of this machine, measured now. */
export function ceilings(): Tensor;
