// The device in processes of their own: two devices, the commands, what doctor says. On an emulated device alone.
import { describe, expect, it } from "vitest";
import { fileURLToPath } from "node:url";
import { longspan, type Outcome } from "../cli/command.js";
import { run } from "../support/process.js";

const program = fileURLToPath(new URL("../programs/two-devices.mjs", import.meta.url));

describe.skipIf(process.env.LONGSPAN_TEST_PLUGIN || process.env.LONGSPAN_SANITIZED)("processes", () => {
  it("work on two devices", async () => {
    const { code, stdout, stderr } = await run([program], { LONGSPAN_EMULATOR_DEVICES: "2" });
    expect([code, stderr]).toEqual([0, ""]);
    const found = JSON.parse(stdout);
    expect(found.devices).toEqual(["cuda", "cuda:1", "cuda:1", "cuda:1"]);
    expect(found.apart[0]).toBeLessThan(1e-6);
    expect(found.apart[1]).toBe(0);
    expect(found.sum).toBe(0);
    expect(found.refused).toMatch(/^DeviceError: add: its tensors are on cuda and on cuda:1; /);
  });

  it("generate the same text on the device and on the CPU", async () => {
    const options = ["generate", "--prompt", "Call me Ishmael.", "-n", "12", "-t", "0"];
    const [there, here] = (await Promise.all(
      ["cuda", "cpu"].map((device) => longspan([...options, "--device", device])),
    )) as [Outcome, Outcome];
    expect([there.code, there.stderr]).toEqual([0, ""]);
    expect(there.stdout).toBe(here.stdout);
  });

  it("say which device there is not", async () => {
    const { code, stderr } = await longspan(["generate", "--prompt", "Call", "-n", "1", "--device", "cuda:7"]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      'longspan: ERR_LONGSPAN_DEVICE: loadModel: device "cuda:7" cannot be used: the last CUDA device is cuda:0\n',
    );
  });

  it("say what a device has too little memory for", async () => {
    const { code, stderr } = await longspan(["generate", "--prompt", "Call", "-n", "1", "--device", "cuda"], {
      LONGSPAN_CUDA_MEMORY: "100KB",
    });
    expect(code).toBe(1);
    expect(stderr).toMatch(/^longspan: ERR_LONGSPAN_OUT_OF_MEMORY: \w+: needs \d+ bytes, \d+ are available on cuda /);
  });

  it("say in doctor what the device is", async () => {
    const { stdout } = await longspan(["doctor", "--json"]);
    const { gpu, device } = JSON.parse(stdout);
    expect(gpu.devices[0]).toMatch(/sm_80, 1\.0 GiB, driver 13\.0, runtime 13\.0/);
    expect(device.name).toBe("cuda");
    expect(device.fault).toBeNull();
  });
});
