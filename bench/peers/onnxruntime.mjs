// The bench's matrix products on onnxruntime-node, through a one-node ONNX model written here byte by byte (protobuf
// wire format: tag, length, payload). Reads {cases, budget} on stdin, prints the median seconds of each case.
import { readFileSync } from "node:fs";
import ort from "onnxruntime-node";

const varint = (n) => (n < 128 ? [n] : [(n & 127) | 128, ...varint(Math.floor(n / 128))]);
const field = (number, payload) => [...varint(number * 8 + 2), ...varint(payload.length), ...payload];
const integer = (number, value) => [...varint(number * 8), ...varint(value)];
const text = (number, value) => field(number, [...Buffer.from(value)]);
const float32 = 1;

function valueInfo(name, shape) {
  const dims = shape.flatMap((extent) => field(1, integer(1, extent)));
  const tensorType = [...integer(1, float32), ...field(2, dims)];
  return [...text(1, name), ...field(2, field(1, tensorType))];
}
function matmulModel(m, k, n) {
  const node = [...text(1, "x"), ...text(1, "w"), ...text(2, "y"), ...text(4, "MatMul")];
  const graph = [
    ...field(1, node),
    ...text(2, "g"),
    ...field(11, valueInfo("x", [m, k])),
    ...field(11, valueInfo("w", [k, n])),
    ...field(12, valueInfo("y", [m, n])),
  ];
  return Uint8Array.from([...integer(1, 8), ...field(7, graph), ...field(8, integer(2, 17))]);
}

const { cases, budget } = JSON.parse(readFileSync(0, "utf8"));
const results = [];
for (const { op, activations, weights, rows: m, inFeatures: k, outFeatures: n } of cases) {
  if (op !== "gemm" || activations !== "float32" || weights !== "float32") {
    results.push(null);
    continue;
  }
  const session = await ort.InferenceSession.create(matmulModel(m, k, n));
  const feeds = {
    x: new ort.Tensor("float32", new Float32Array(m * k).fill(0.5), [m, k]),
    w: new ort.Tensor("float32", new Float32Array(k * n).fill(0.25), [k, n]),
  };
  await session.run(feeds);
  const times = [];
  for (const start = performance.now(); times.length < 3 || performance.now() - start < budget * 1000; ) {
    const begin = performance.now();
    await session.run(feeds);
    times.push((performance.now() - begin) / 1000);
  }
  results.push(times.sort((a, b) => a - b)[times.length >> 1]);
}
console.log(JSON.stringify(results));
