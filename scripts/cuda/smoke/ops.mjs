// Tensors on their way and the ops beside attention: test/cases/matmul.mjs, and the shapes of test/cases/ops.ts.
import * as longspan from "../../../dist/index.js";
import { products } from "../../../test/cases/matmul.mjs";
import { floatDTypes, layouts, random, randomValues, sizeOf } from "./numbers.mjs";

const { Tensor } = longspan;
const integers = ["int64", "int32", "int8", "uint8"];
const rounded = (values, most = 100) => ({
  ...values,
  data: values.data.map((x) => Math.min(most, Math.abs(Math.round(x)))),
});

/** What goes there comes back, whole, in views and through a second device-to-host copy. */
export async function transfers(group) {
  const sizes = [0, 1, 1000, 3_000_001, ...(group.quick ? [] : [9_500_003])];
  for (const size of sizes) {
    const bytes = Uint8Array.from({ length: size }, (_, i) => (i * 7) % 251);
    await group.check(`${size} bytes`, (_, device) => ({ out: new Tensor("uint8", bytes, [size], { device }) }));
  }
  for (const dtype of [...integers, ...floatDTypes])
    for (const layout of layouts) {
      const values = rounded(randomValues(random(5), [3, 4, 5], 20));
      const { device } = group;
      await group.check(
        `${dtype}, ${layout}`,
        (make, place) => {
          const out = make(values, dtype, layout);
          const back = out.to(place === "cpu" ? device : "cpu").to(place);
          return { out, back, narrow: back.reshape([-1]).narrow(0, 3, 20), turned: out.transpose(0, 2).contiguous() };
        },
        { exact: true },
      );
    }
}

/** Every pair of dtypes, of every layout; halves also of what they cannot hold exactly, and of what is no number. */
export async function conversions(group) {
  const special = [0, -0, 1e-8, 6.1e-5, 65519, 65520, 1e30, -1e30, Number.NaN, Infinity, -Infinity, 1 + 2 ** -9];
  for (const from of [...floatDTypes, ...integers])
    for (const to of [...floatDTypes, ...integers])
      for (const layout of layouts)
        await group.check(
          `${from} to ${to}, ${layout}`,
          (make) => ({ out: make(rounded(randomValues(random(9), [3, 7, 9], 30)), from, layout).to(to) }),
          { exact: true },
        );
  for (const from of floatDTypes)
    for (const to of floatDTypes) {
      const values = randomValues(random(4), [1111]);
      values.data.set(special);
      await group.check(`${from} to ${to}, special numbers`, (make) => ({ out: make(values, from).to(to) }), {
        exact: true,
      });
    }
}

const large = [
  { name: "512 × 2048 × 2048", rows: [512], inFeatures: 2048, outFeatures: 2048, packed: true },
  { name: "300 × 1000 × 5000", rows: [300], inFeatures: 1000, outFeatures: 5000, packed: true, residual: true },
  { name: "1 × 4096 × 6000", rows: [1], inFeatures: 4096, outFeatures: 6000, packed: true },
];

function multiply(c, dtype, make) {
  const { rows, inFeatures: k, outFeatures: n, activation = "none", packed, transposeB, otherDTypes } = c;
  const next = random(k * 7 + n);
  const of = (name, shape) => make(randomValues(next, shape), otherDTypes?.[name] ?? dtype, c.layout);
  const x = of("x", [...rows, k]);
  const b = of("b", packed || transposeB ? [n, k] : [k, n]);
  const extra = {
    activation,
    ...(c.bias ? { bias: of("bias", [n]) } : {}),
    ...(c.residual ? { residual: of("residual", [...rows, n]) } : {}),
  };
  if (!packed) return { out: longspan.matmul(x, b, { ...extra, ...(transposeB ? { transposeB } : {}) }) };
  const weight = longspan.packWeight(b, packed === true ? {} : { dtype: packed });
  return { out: longspan.linear(x, weight, extra) };
}

export async function matmul(group) {
  for (const c of group.quick ? products : [...products, ...large])
    for (const dtype of floatDTypes)
      await group.check(`${c.name}, ${dtype}`, (make) => multiply(c, dtype, make), { terms: c.inFeatures });
}

const rowShapes = [[1], [7], [5, 64], [3, 4, 100], [2, 1, 1], [0, 16], [130, 257], [2, 4097]];
const wide = [3, 5, 4, 40];

/** name → [shapes of the inputs, the call, spread of the values] for rows of a shape */
const byRow = (shape) => ({
  rmsNorm: [[shape, shape.slice(-1)], (x, w) => longspan.rmsNorm(x, w, { epsilon: 1e-6 })],
  layerNorm: [[shape, shape.slice(-1), shape.slice(-1)], (x, w, b) => longspan.layerNorm(x, w, b)],
  softmax: [[shape], (x) => longspan.softmax(x), 4],
});

async function run(group, name, [shapes, call, spread = 1], { layout, exact } = {}) {
  for (const dtype of floatDTypes)
    await group.check(
      `${name}, ${dtype}`,
      (make) => {
        const next = random(name.length);
        const out = call(...shapes.map((shape) => make(randomValues(next, shape, spread), dtype, layout)));
        return out instanceof Tensor ? { out } : out;
      },
      { exact },
    );
}

export async function norms(group) {
  for (const shape of group.quick ? rowShapes : [...rowShapes, [700, 4096]])
    for (const [op, job] of Object.entries(byRow(shape))) await run(group, `${op} [${shape}]`, job);
  for (const layout of layouts)
    for (const [op, job] of Object.entries(byRow(wide))) await run(group, `${op}, ${layout}`, job, { layout });
  await run(group, "layerNorm without weights", [[[3, 33]], (x) => longspan.layerNorm(x, null, undefined)]);
}

const frequencies = (pairs) => Array.from({ length: pairs }, (_, i) => 10000 ** (-i / pairs));

export async function rope(group) {
  const cases = [
    { shape: [2, 9, 4, 64], pairs: 32 },
    { shape: [2, 9, 4, 64], pairs: 32, layout: "interleaved" },
    { shape: [1, 5, 3, 37], pairs: 10, attentionScale: 1.25 },
    { shape: [1, 5, 3, 37], pairs: 10, layout: "interleaved" },
    { shape: [1, 3, 2, 8], pairs: 0 },
    { shape: [1, 0, 2, 16], pairs: 8 },
    { shape: [2, 3, 2, 16], pairs: 8, positions: [0, 1, 1_000_000, -5, 131071, 7] },
    { shape: [1, 6, 4, 24], pairs: 12, positionStep: 0.25, positionOffset: 0.5 },
    ...layouts.map((form) => ({ shape: [3, 6, 4, 24], pairs: 12, form })),
    ...(group.quick ? [] : [{ shape: [1, 4096, 40, 128], pairs: 64 }]),
  ];
  for (const { shape, pairs, positions, form, ...options } of cases)
    for (const dtype of floatDTypes)
      await group.check(
        `[${shape}], ${pairs} pairs, ${JSON.stringify(options)}, ${form ?? "dense"}, ${dtype}`,
        (make) => {
          const places = positions
            ? make({ data: Float64Array.from(positions), shape: shape.slice(0, 2) }, "int32")
            : Int32Array.from({ length: shape[1] }, (_, i) => 4000 + 77 * i);
          const x = make(randomValues(random(pairs), shape), dtype, form);
          return { out: longspan.rope(x, places, { frequencies: frequencies(pairs), ...options }) };
        },
      );
}

const broadcasts = [
  [[5], [5]],
  [[3, 70], [70]],
  [
    [3, 70],
    [3, 1],
  ],
  [
    [4, 1, 6],
    [5, 1],
  ],
  [[2, 3, 33], [1]],
  [[7], [4, 7]],
  [[0, 4], [4]],
  [[], [3]],
];

export async function pointwise(group) {
  for (const activation of ["silu", "gelu", "geluTanh", "relu"])
    for (const shape of [[1], [3, 50], [2, 1025]]) {
      const call = (gate, up) => longspan.gatedActivation(gate, up, { activation });
      await run(group, `${activation} [${shape}]`, [[shape, shape], call, 3]);
    }
  for (const layout of layouts)
    await run(group, `silu alone, ${layout}`, [[wide], (gate) => longspan.gatedActivation(gate)], { layout });
  for (const op of ["add", "multiply"]) {
    const call = (a, b) => longspan[op](a, b);
    for (const shapes of broadcasts) await run(group, `${op} [${shapes.join("] [")}]`, [shapes, call]);
    for (const layout of layouts) await run(group, `${op}, ${layout}`, [[wide, wide], call], { layout });
  }
}

/** Rows of distinct numbers, so that ties decide nothing. */
function distinct(rows, columns, dtype) {
  const data = new Float64Array(rows * columns);
  const step = dtype === "float32" ? 1 : Math.max(1, Math.ceil(columns / 200));
  for (let r = 0; r < rows; r++)
    for (let c = 0; c < columns; c++) data[r * columns + c] = Math.floor(((c * 7919 + r * 31) % columns) / step) - 50;
  return { data, shape: [rows, columns] };
}

export async function choice(group) {
  const sizes = [[1, 1], [5, 33], [3, 5000], ...(group.quick ? [] : [[64, 128256]])];
  for (const [rows, columns] of sizes)
    for (const dtype of floatDTypes) {
      const named = `[${rows}, ${columns}], ${dtype}`;
      const values = distinct(rows, columns, dtype);
      await group.check(`argmax ${named}`, (make) => ({ out: longspan.argmax(make(values, dtype)) }));
      const sure = dtype === "float32" || columns < 200; // else equal numbers: their values must be the same
      for (const k of [1, 4, 40, 1000].filter((count) => count <= columns))
        await group.check(
          `top ${k} of ${named}`,
          (make) => {
            const { values: out, indices } = longspan.topK(make(values, dtype), { k });
            return sure ? { out, indices } : { out };
          },
          { exact: true },
        );
      const targets = Array.from({ length: rows }, (_, i) => (i * 31 + 7) % columns);
      const logits = randomValues(random(columns), [rows, columns], 5);
      await group.check(`nll ${named}`, (make) => ({ out: longspan.nll(make(logits, dtype), targets) }));
    }
}

export async function embedding(group) {
  for (const ids of [[0], [3, 3, 0, 10, 5], []])
    for (const dtype of floatDTypes)
      for (const layout of layouts)
        await group.check(
          `${ids.length} ids, ${dtype}, ${layout}`,
          (make) => ({ out: longspan.embedding(ids, make(randomValues(random(2), [11, 37]), dtype, layout)) }),
          { exact: true },
        );
  await group.check(
    "ids there",
    (make) => {
      const ids = make({ data: Float64Array.of(4, 0, 9, 9), shape: [4] }, "int32");
      return { out: longspan.embedding(ids, make(randomValues(random(3), [11, 300]), "bfloat16")) };
    },
    { exact: true },
  );
}

/** More than there is is refused at the call; what is there goes on, also with the device filled to its brim. */
export async function memory(group) {
  const { device } = group;
  const ones = (shape) => new Tensor("float32", new Float32Array(sizeOf(shape)).fill(1), shape, { device });
  const kept = longspan.softmax(ones([37, 200]));
  const before = numbersOf(await kept.data());
  const goesOn = async (name) => {
    const again = longspan.softmax(ones([37, 200]));
    const [now, held] = [numbersOf(await again.data()), numbersOf(await kept.data())];
    if (now !== before || held !== before) group.fault(name, "other values afterwards");
    again.dispose();
  };
  const refusal = async (make) => {
    await longspan.idle();
    try {
      const tensor = make();
      await tensor.data();
      return undefined;
    } catch (error) {
      return error;
    }
  };
  await group.one("more than the device has", async () => {
    const [column, row] = [ones([2 ** 20, 1]), ones([1, 2 ** 20])];
    const error = await refusal(() => longspan.add(column, row));
    if (!(error instanceof longspan.OutOfMemoryError)) throw error ?? new Error("4 TiB were made");
    if (error.device !== device) group.fault("refusal", `it names ${error.device}`);
    for (const tensor of [column, row]) tensor.dispose();
    await goesOn("after the refusal");
  });
  await group.one("filled", () => filled(group, ones, goesOn));
}

const numbersOf = (data) => Buffer.from(data.buffer).toString("base64");

/** Takes memory until it is refused, in ever smaller parts, and lets go of it. */
async function filled(group, ones, goesOn) {
  const held = [];
  let refused = 0;
  for (let bytes = group.quick ? 2 ** 25 : 2 ** 33; bytes >= 2 ** (group.quick ? 25 : 28); ) {
    const [column, row] = [ones([bytes / 2 ** 14, 1]), ones([1, 2 ** 12])];
    try {
      await longspan.idle();
      held.push(longspan.add(column, row));
      await longspan.idle();
      if (group.quick && held.length > 2) break;
    } catch (error) {
      if (!(error instanceof longspan.OutOfMemoryError)) throw error;
      refused++;
      bytes /= 2;
    } finally {
      for (const tensor of [column, row]) tensor.dispose();
    }
  }
  group.notes.push(`${held.length} tensors held, ${refused} refused`);
  if (!group.quick && refused === 0) group.fault("filled", "nothing was refused");
  for (const tensor of held) tensor.dispose();
  await longspan.idle();
  await goesOn("after it was let go of");
}
