// Work on two devices: each has its own memory and order. Prints what came of it as JSON.
import { add, flashAttention, idle, Tensor } from "../../dist/index.js";

const values = Float32Array.from({ length: 32 * 2 * 8 }, (_, i) => Math.sin(i));
const on = (device) => new Tensor("float32", values, [1, 32, 2, 8], { device });
const [here, first, second] = ["cpu", "cuda", "cuda:1"].map(on);
const attended = await Promise.all([here, first, second].map((x) => flashAttention(x, x, x, { causal: true }).data()));
const apart = (a, b) => Math.max(...a.map((x, i) => Math.abs(x - b[i])));
let refused = "";
try {
  add(first, second);
} catch (error) {
  refused = `${error.name}: ${error.message}`;
}
const moved = first.to("cuda:1");
const sum = add(moved, second);
await idle();
console.log(
  JSON.stringify({
    devices: [first.device, second.device, moved.device, sum.device],
    apart: [apart(attended[0], attended[1]), apart(attended[1], attended[2])],
    refused,
    sum: apart(
      await sum.data(),
      values.map((x) => 2 * x),
    ),
  }),
);
