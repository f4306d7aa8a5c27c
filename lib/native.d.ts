// Printed from the C++ signatures by scripts/types.mjs; never edited by hand.
import type { Tensor } from "./tensor.js";
declare const isPackedMatrix: unique symbol;
/** A native value; let go of it with dispose. */
export interface PackedMatrix { readonly [isPackedMatrix]: true }
declare const isKVCache: unique symbol;
/** A native value; let go of it with dispose. */
export interface KVCache { readonly [isKVCache]: true }
declare const isSafetensorsFile: unique symbol;
/** A native value; let go of it with dispose. */
export interface SafetensorsFile { readonly [isSafetensorsFile]: true }
/** What lib/patterns builds. */
export interface PatternSpec { /** full, causal, window, sinks, prefix, chunks … (csrc/ops/concrete_pattern.cc) */ kind?: string; /** keys before the own position; chunks: whole chunks */ before?: number; /** keys after the own position; chunks: whole chunks */ after?: number; /** sinks, prefix: first tokens that stay visible; augmented: last keys */ tokens?: number; /** chunks: positions in a chunk */ size?: number; /** chunks: by how much the first one is shorter */ shift?: number; /** dilatedWindow: distance from a visible key to the next */ rate?: number; /** dilatedWindow: nearest keys that are left out, in rates */ skip?: number; /** residues: keys with key % period in [first, end) */ period?: number; /** residues: the first remainder */ first?: number; /** residues: behind the last remainder */ end?: number; /** blocks: positions in a row of blocks */ blockQ?: number; /** blocks: keys in a column of blocks */ blockKV?: number; /** blocks: the row of blocks the lists begin with */ firstRow?: number; /** elements: position of the mask's first row */ firstQuery?: number; /** elements: position of the mask's first column */ firstKey?: number; /** chunks, documents, longnet: no later key */ causal?: boolean; /** longnet: segment lengths */ segments?: number[]; /** longnet: dilation of each segment length */ rates?: number[]; /** longnet: "mod" (the paper) or "block" (torchscale) */ headOffset?: string; /** documents: where each begins; keys, queries: begin and end of each span */ bounds?: Tensor | Int32Array | BigInt64Array | number[]; /** blocks: where each row's list begins in columns */ rowStart?: Tensor | Int32Array | BigInt64Array | number[]; /** blocks: [entries] int32 with rowStart, or [batch, heads, rows, perRow], rows ending in −1 */ columns?: Tensor; /** elements: [rows, columns] uint8 */ mask?: Tensor; /** union, intersect, sum, perHead, augmented, blocks (within): the parts */ of?: PatternSpec[]; }
/** Tells the addon which class results are made of, and how its errors become JavaScript ones. */
export function setClasses(tensorClass: unknown, errorFactory: (code: string, message: string, fields: Record<string, unknown>) => Error): void;
/** Gives a new Tensor object its memory. */
export function initTensor(target: object, ...from: unknown[]): { dtype: string; shape: number[] };
/** Gives a new Tensor object the memory of a typed array. */
export function initView(target: object, array: object, shape: readonly number[], dtype?: string): { dtype: string; shape: number[] };
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
export function flashAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** keys before (and after) the own position that a query sees; n means {before: n, after: causal ? 0 : n} */ window?: number | { before: number; after?: number }; /** which keys a query sees; instead of causal and window */ pattern?: PatternSpec; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** scores become softcap · tanh(score / softcap) */ softcap?: number; /** [numHeads] float32: slope · |key position − query position| is taken from the scores */ alibiSlopes?: Tensor; /** broadcastable to [batch, numHeads, seqLenQ, seqLenKV], added to the scores */ bias?: Tensor; /** [numHeads] float32: one more logit per head in the softmax, without a value (gpt-oss) */ sinkLogits?: Tensor; /** [sequences + 1]: sequences behind each other in q; row r of sequence s is cuSeqLensQ[s] + r */ cuSeqLensQ?: Tensor | Int32Array | BigInt64Array | number[]; /** the same for k and v; cuSeqLensQ if absent */ cuSeqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch]: only so many keys of each sequence are there */ seqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch, blocks] int32: k and v are pages [numPages, pageSize, numKVHeads, dim]; block b of a sequence is page blockTable[sequence, b] */ blockTable?: Tensor; /** also give lse [batch, numHeads, seqLenQ] float32, natural log */ returnLse?: boolean; }): Tensor | { out: Tensor; lse: Tensor };
/** How many parts of the pattern let query q see key kv; 0: it does not. */
export function patternMultiplicity(pattern: PatternSpec, q: number, kv: number, place?: { /** queries */ seqLenQ?: number; /** keys */ seqLenKV?: number; /** which sequence of the batch */ batch?: number; /** which query head */ head?: number; /** query heads; head + 1 if absent */ numHeads?: number; }): number;
/** What `count` queries see: query, begin, end and multiplicity of each run of keys. */
export function patternRuns(pattern: PatternSpec, firstQuery: number, count: number, place?: { /** queries */ seqLenQ?: number; /** keys */ seqLenKV?: number; /** which sequence of the batch */ batch?: number; /** which query head */ head?: number; /** query heads; head + 1 if absent */ numHeads?: number; }): number[];
/** How many pairs are visible, each as often as it is. */
export function patternAllowedPairs(pattern?: PatternSpec, place?: { /** queries */ seqLenQ?: number; /** keys */ seqLenKV?: number; /** which sequence of the batch */ batch?: number; /** which query head */ head?: number; /** query heads; head + 1 if absent */ numHeads?: number; }): number;
/** Attention over keys and values that a projection along the sequence made few. */
export function linformerAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** E: [seqLen or more, rows] for all heads, or [numKVHeads, seqLen or more, rows]; any float dtype */ projectionK?: Tensor; /** F, for the values; projectionK if absent */ projectionV?: Tensor; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** refused: a projection mixes later tokens into every key */ causal?: boolean; }): Tensor;
/** Attention by way of an extra sequence of one length. */
export function lunaAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** the extra sequence P: [extraLen, heads, headDim] or [batch, extraLen, heads, headDim] */ extra?: Tensor; /** the causal form, whose state has one size at any length */ causal?: boolean; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** causal: what returnState gave for the tokens before */ state?: { /** [batch, heads, headDim, extraLen] float32 */ keySums: Tensor; /** [batch, heads, extraLen, valueDim] float32 */ valueSums: Tensor; /** how many keys are in the sums */ positions?: number; }; /** not causal: also give the packed sequence, as `extra` */ returnExtra?: boolean; /** causal: also give the state after the last token */ returnState?: boolean; }): Tensor | { out: Tensor; extra?: Tensor; state?: { /** [batch, heads, headDim, extraLen] float32 */ keySums: Tensor; /** [batch, heads, extraLen, valueDim] float32 */ valueSums: Tensor; /** how many keys are in the sums */ positions: number; } };
/** Near keys one by one, far keys as means over powers of two. */
export function hierarchicalAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** tokens of a block, 1 to 512 */ blockSize?: number; /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** queries are means as well at coarse levels, as in the paper; the default unless causal */ coarsenQueries?: boolean; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; }): Tensor;
/** Attention to earlier blocks by way of a landmark token at their end. */
export function landmarkAttention(q: Tensor, k: Tensor, v: Tensor, options?: { /** tokens of a block with its landmark, which is the last: 2 to 512 */ blockSize?: number; /** earlier blocks that a query opens, by landmark score; all if absent */ topK?: number; /** false is refused: a block is known by the landmark at its end */ causal?: boolean; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; }): Tensor;
/** Attention over the union of disjoint key sets, from the parts' out and lse. */
export function mergeAttention(parts: { /** [batch, seqLenQ, numHeads, valueDim] */ out: Tensor; /** [batch, numHeads, seqLenQ] float32 */ lse: Tensor; }[]): { /** [batch, seqLenQ, numHeads, valueDim] */ out: Tensor; /** [batch, numHeads, seqLenQ] float32 */ lse: Tensor; };
/** Rotary position embedding of x [batch, seqLen, numHeads, headDim]; positions [seqLen] or [batch, seqLen]. */
export function rope(x: Tensor, positions: Tensor | Int32Array | BigInt64Array | number[], options?: { /** [rotaryDim / 2] radians per position; dims beyond rotaryDim pass through */ frequencies?: Tensor | Float64Array | Float32Array | number[]; /** factor on the rotated dims */ attentionScale?: number; /** "half" pairs dim i with i + rotaryDim / 2, "interleaved" pairs 2i with 2i + 1 */ layout?: string; }): Tensor;
/** x / rms(x) · weight over the last axis. */
export function rmsNorm(x: Tensor, weight?: Tensor | null, options?: { /** added to the variance */ epsilon?: number; }): Tensor;
/** (x − mean) / std · weight + bias over the last axis. */
export function layerNorm(x: Tensor, weight?: Tensor | null, bias?: Tensor | null, options?: { /** added to the variance */ epsilon?: number; }): Tensor;
/** a [..., m, k] times b [k, n] (or [n, k] with transposeB). */
export function matmul(a: Tensor, b: Tensor, options?: { /** [n], added to every row */ bias?: Tensor; /** [..., m, n], added after the activation */ residual?: Tensor; /** none, silu, gelu, geluTanh or relu, after the bias */ activation?: string; /** b is [n, k] instead of [k, n] */ transposeB?: boolean; }): Tensor;
/** x [..., k] times a packed weight [n, k] transposed. */
export function linear(x: Tensor, weight: PackedMatrix, options?: { /** [n], added to every row */ bias?: Tensor; /** [..., m, n], added after the activation */ residual?: Tensor; /** none, silu, gelu, geluTanh or relu, after the bias */ activation?: string; /** b is [n, k] instead of [k, n] */ transposeB?: boolean; }): Tensor;
/** A weight [outFeatures, inFeatures] in the panels that linear reads. */
export function packWeight(weight: Tensor, options?: { /** of the panels; the weight's own if absent */ dtype?: string; }): PackedMatrix;
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
/** Tensors one behind the other along an axis, in memory of their own. */
export function concatenate(tensors: Tensor[], axis: number): Tensor;
/** The tensor in dense row-major memory. */
export function contiguous(tensor: Tensor): Tensor;
/** An empty key/value cache that grows as keys are appended. */
export function createKVCache(options?: { /** layers that keep keys and values */ numLayers?: number; /** key/value heads of a layer */ numKVHeads?: number; /** width of a key */ headDim?: number; /** width of a value; headDim if absent */ valueDim?: number; /** float32 or bfloat16 */ dtype?: string; }): KVCache;
/** Appends k [1, seqLen, numKVHeads, headDim] and v to a layer. */
export function cacheAppend(cache: KVCache, layer: number, k: Tensor, v: Tensor): void;
/** flashAttention of q [1, seqLenQ, numHeads, headDim] over a layer's keys. */
export function cacheAttention(q: Tensor, cache: KVCache, layer: number, options?: { /** a query sees no later key; the last query is aligned with the last key */ causal?: boolean; /** keys before (and after) the own position that a query sees; n means {before: n, after: causal ? 0 : n} */ window?: number | { before: number; after?: number }; /** which keys a query sees; instead of causal and window */ pattern?: PatternSpec; /** factor on q·k; headDim ** -0.5 if absent */ scale?: number; /** scores become softcap · tanh(score / softcap) */ softcap?: number; /** [numHeads] float32: slope · |key position − query position| is taken from the scores */ alibiSlopes?: Tensor; /** broadcastable to [batch, numHeads, seqLenQ, seqLenKV], added to the scores */ bias?: Tensor; /** [numHeads] float32: one more logit per head in the softmax, without a value (gpt-oss) */ sinkLogits?: Tensor; /** [sequences + 1]: sequences behind each other in q; row r of sequence s is cuSeqLensQ[s] + r */ cuSeqLensQ?: Tensor | Int32Array | BigInt64Array | number[]; /** the same for k and v; cuSeqLensQ if absent */ cuSeqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch]: only so many keys of each sequence are there */ seqLensKV?: Tensor | Int32Array | BigInt64Array | number[]; /** [batch, blocks] int32: k and v are pages [numPages, pageSize, numKVHeads, dim]; block b of a sequence is page blockTable[sequence, b] */ blockTable?: Tensor; /** also give lse [batch, numHeads, seqLenQ] float32, natural log */ returnLse?: boolean; }): Tensor | { out: Tensor; lse: Tensor };
/** Forgets all keys from `length` on. */
export function cacheTruncate(cache: KVCache, length: number): void;
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
export function machine(): { /** kernels in use */ isa: string; /** kernels this machine can run */ isas: string[]; /** bfloat16 products without widening */ nativeBFloat16: boolean; /** compute threads */ threads: number; /** limit of pending output bytes */ queueBytes: number; };
/** The CUDA plugin: what it found, or why it is not used. */
export function cuda(): { /** the plugin that was opened */ file: string; /** why no GPU is used; empty when one can be */ reason: string; /** GPUs found */ devices: string[]; };
/** Why a device other than cpu cannot be used. */
export function deviceReason(device: string): { /** why the device cannot be used */ reason: string; };
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
