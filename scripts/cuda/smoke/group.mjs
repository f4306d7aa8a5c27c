// A group of cases: each runs on the CPU and on the device, and what differs by more than the rule allows is told.
// The rule: |device − CPU| ≤ n ulps of the result's dtype at the CPU's largest value. float32: 32, for sums of up to
// 512 terms in another order (the root of that for longer products) and exponentials good to 2 ulps; float16 and
// bfloat16: 4, for the rounding of the result and of the weights that attention multiplies; integers: none. The lse of
// halves may sum weights before or after they are rounded: half an ulp of the inputs' dtype at 1 (of lshAttention,
// whose keys are rounded too, at its largest).
import { scope } from "../../../dist/index.js";
import { numbers, tensorOn, ulp } from "./numbers.mjs";

const ulps = { float32: 32, float16: 4, bfloat16: 4 };

/** Largest |a − b|; infinities and NaN must be the same on both sides. */
export function distance(a, b) {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    if (a[i] === b[i] || Object.is(a[i], b[i])) continue;
    const d = Math.abs(a[i] - b[i]);
    if (Number.isNaN(d)) return Number.POSITIVE_INFINITY;
    most = Math.max(most, d);
  }
  return most;
}

export const largest = (values) =>
  values.reduce((most, x) => (Number.isFinite(x) ? Math.max(most, Math.abs(x)) : most), 0);

const equalBits = (a, b) =>
  Buffer.from(a.buffer, a.byteOffset, a.byteLength).equals(Buffer.from(b.buffer, b.byteOffset, b.byteLength));

/** What `body` gives on a device: by name, the shape, dtype and data. The device is part of what is proved. */
async function outputs(body, device) {
  const tensors = scope(() => body((values, dtype, layout) => tensorOn(device, values, dtype, layout), device));
  const read = {};
  for (const [name, tensor] of Object.entries(tensors)) {
    const { shape, dtype } = tensor;
    if (tensor.device !== device) throw new Error(`${name} is on ${tensor.device}`);
    read[name] = { shape, dtype, data: await tensor.data() };
    tensor.dispose();
  }
  return read;
}

export class Group {
  cases = 0;
  repeated = 0;
  faults = [];
  notes = [];
  /** The largest share of what is allowed. */
  worst = { share: 0, name: "" };
  current = "";

  constructor(device, quick) {
    this.device = device;
    this.quick = quick;
  }

  fault(name, text) {
    this.faults.push(`${name}: ${text}`);
  }

  /** An error beside its bound. */
  judge(name, error, allowed, unit = "") {
    const share = error === 0 ? 0 : error / allowed;
    if (share > this.worst.share) this.worst = { share, name };
    if (!(share <= 1)) this.fault(name, `${error.toPrecision(3)}${unit}, allowed ${allowed.toPrecision(3)}${unit}`);
  }

  /** One case, whose faults end it alone. */
  async one(name, run) {
    this.cases++;
    this.current = name;
    const watch = setInterval(() => console.error(`  still at ${name}`), 60_000);
    try {
      await run();
    } catch (error) {
      this.fault(name, `${error.name}: ${error.message}`);
    } finally {
      clearInterval(watch);
    }
  }

  /** The results of `body(make, device)` on both; each second case (quick: each eighth) runs twice, bit for bit. */
  check(name, body, { exact = false, inputs, terms = 0 } = {}) {
    return this.one(name, async () => {
      const here = await outputs(body, "cpu");
      const there = await outputs(body, this.device);
      for (const [part, expected] of Object.entries(here))
        this.#compare(name, part, there[part], expected, { exact, inputs, terms });
      if (this.cases % (this.quick ? 8 : 2)) return;
      this.repeated++;
      const again = await outputs(body, this.device);
      for (const part of Object.keys(here))
        if (!equalBits(again[part].data, there[part].data)) this.fault(name, `${part} has other bits the second time`);
    });
  }

  /** Numbers of a result and what they should be. */
  compare(name, actual, expected, dtype, { exact = false, terms = 0 } = {}) {
    const unit = exact || !ulps[dtype] ? 0 : ulp(dtype, largest(expected));
    const error = distance(actual, expected);
    if (unit === 0) return error === 0 || this.fault(name, `differs by ${error}`);
    const longer = dtype === "float32" ? Math.max(1, Math.sqrt(terms / 512)) : 1;
    this.judge(name, error / unit, ulps[dtype] * longer, " ulps");
  }

  /** `scale`: where the ulp of half inputs is taken. */
  compareLse(name, actual, expected, inputs, scale = 1) {
    if (inputs === "float32") return this.compare(`${name}, lse`, actual, expected, "float32");
    this.judge(`${name}, lse`, distance(actual, expected), ulp(inputs, scale) / 2);
  }

  #compare(name, part, actual, expected, { exact, inputs, terms }) {
    const { shape, dtype } = expected;
    const named = part === "out" ? name : `${name}, ${part}`;
    if (actual.dtype !== dtype || `${actual.shape}` !== `${shape}`)
      return this.fault(named, `${actual.dtype} [${actual.shape}], not ${dtype} [${shape}]`);
    if (equalBits(actual.data, expected.data)) return;
    const [a, b] = [actual, expected].map(({ data }) => numbers(data, dtype));
    if (part === "lse") return this.compareLse(name, a, b, inputs);
    this.compare(named, a, b, dtype, { exact, terms });
  }
}
