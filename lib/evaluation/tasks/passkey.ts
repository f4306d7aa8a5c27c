// A pass key of five digits in sentences about nothing (Mohtashami & Jaggi 2023, Landmark Attention; Chen et al. 2023,
// LongLoRA): the same form, other sentences, and lengths counted in tokens.
import type { Model } from "../../model.js";
import { probeNumbers } from "../retrieval.js";
import { type NeedleProbe, type NeedleTask, tooShort } from "./task.js";
import { asking, encode, fillerSource, requireSpelling } from "./text.js";

const introduction = "A pass key is hidden in the text below. Remember it: you will be asked for it.\n";
const hidden = (key: string) => `\nThe pass key is ${key}. Remember it. ${key} is the pass key.\n`;
const question = "\nWhat is the pass key? The pass key is";

export async function passkeyTask({ tokenizer }: Model): Promise<NeedleTask> {
  await requireSpelling(tokenizer, "passkey", "90817");
  const [begin, filler] = await Promise.all([tokenizer.encode(introduction), fillerSource(tokenizer)]);

  async function probe(key: string, length: number, depth: number): Promise<NeedleProbe> {
    const needle = await encode(tokenizer, hidden(key));
    const asked = await asking(tokenizer, question, ` ${key}`);
    const shortest = begin.length + needle.length + asked.question.length;
    if (length < shortest) tooShort("passkey", shortest, length);
    const before = Math.round(depth * (length - shortest));
    const ids = [...begin, ...filler(before), ...needle, ...filler(length - shortest - before), ...asked.question];
    return { ids, answer: asked.answer, depth };
  }

  return {
    name: "passkey",
    title: "a pass key in filler sentences",
    async probes({ length, depths, count, seed, signal }) {
      const random = probeNumbers(seed, length);
      const probes: NeedleProbe[] = [];
      for (let i = 0; i < count * depths.length; i++) {
        signal?.throwIfAborted();
        const key = String(10_000 + Math.floor(90_000 * random()));
        probes.push(await probe(key, length, depths[i % depths.length]!));
      }
      return probes;
    },
  };
}
