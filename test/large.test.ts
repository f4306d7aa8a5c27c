// Beyond 4 GiB: a typed array cannot hold it, slices can. Filling that much takes long where pages are slow, so the whole
// is done with LONGSPAN_TEST_LARGE=1; otherwise only the refusal is looked at, and the work is stopped.
import { describe, expect, it } from "vitest";
import { add, idle, memory, ShapeError, Tensor } from "../lib/index.js";

const [rows, columns] = [1060, 1 << 20];
const enough = memory().availableBytes > 6 * rows * columns;

function large(): Tensor {
  const row = Float32Array.from({ length: columns }, (_, i) => i);
  const column = Float32Array.from({ length: rows }, (_, i) => i * 1000);
  return add(Tensor.view(column, [rows, 1]), Tensor.view(row, [1, columns]));
}

describe.skipIf(!enough)("a tensor of more than 4 GiB", () => {
  it("is not read at once", async () => {
    const t = large();
    const controller = new AbortController();
    const slice = t.narrow(0, 0, 1).data({ signal: controller.signal });
    await expect(t.data()).rejects.toBeInstanceOf(ShapeError);
    await expect(t.data()).rejects.toThrow("a typed array holds at most 4 GiB, the tensor has 4445962240 bytes");
    await expect(t.toArray()).rejects.toBeInstanceOf(ShapeError);
    controller.abort("enough");
    await expect(slice).rejects.toBe("enough");
    t.dispose();
    await idle();
  });

  it.skipIf(!process.env.LONGSPAN_TEST_LARGE)("is read by slices", async () => {
    const t = large();
    const last = await t.narrow(0, rows - 1, 1).data();
    expect([last.length, last[0], last[columns - 1]]).toEqual([columns, 1_059_000, 1_059_000 + columns - 1]);
    expect(await t.slice([1050, 5], [1052, 8]).toArray()).toEqual([
      [1_050_005, 1_050_006, 1_050_007],
      [1_051_005, 1_051_006, 1_051_007],
    ]);
    const flat = t.reshape([-1]).narrow(0, 1055 * columns, 3);
    expect((await flat.data()) as unknown).toEqual(Float32Array.of(1_055_000, 1_055_001, 1_055_002));
    expect(await t.transpose(0, 1).slice([250, 1058], [252, 1060]).toArray()).toEqual([
      [1_058_250, 1_059_250],
      [1_058_251, 1_059_251],
    ]);
    t.dispose();
  });
});
