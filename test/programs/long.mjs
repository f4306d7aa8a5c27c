// A few seconds of work on one core, and what a program may do while it runs: argv[2] says what.
import { flashAttention, softmax, Tensor } from "longspan";

const length = process.argv[2] === "pending promise" ? 2048 : 8192;
const x = new Tensor("float32", new Float32Array(length * 512).fill(1), [1, length, 8, 64]);
const long = () => flashAttention(x, x, x);

const endings = {
  await: async () => console.log((await softmax(new Tensor("float32", [0, 0], [2])).data()).join()),
  "pending promise": () =>
    long()
      .narrow(1, 0, 1)
      .data()
      .then((data) => console.log(`done ${data[0]}`)),
  "forgotten ops": () => {
    for (let i = 0; i < 20; i++) long();
  },
  "process.exit": () => {
    for (let i = 0; i < 100; i++)
      softmax(i % 20 ? x.narrow(1, 0, 64) : long())
        .narrow(1, 0, 1)
        .data();
    setTimeout(() => process.exit(3), 20);
  },
  "process.exit at once": () => {
    for (let i = 0; i < 10; i++) long().data();
    process.exit(3);
  },
  "uncaught error": () => {
    long().data();
    setTimeout(() => {
      throw new Error("own fault");
    }, 20);
  },
  signal: () => {
    long().data();
    setTimeout(() => process.kill(process.pid, "SIGTERM"), 20);
  },
};
await endings[process.argv[2]]();
