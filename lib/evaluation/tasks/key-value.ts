// A JSON object of random pairs and one key to look up (Liu et al. 2023, Lost in the Middle). Keys and values are eight
// hexadecimal digits instead of a UUID's thirty-two: several pairs should fit into small contexts. As many pairs as fit
// are taken; filler before the object makes up the rest, less than a pair.
import type { Model } from "../../model.js";
import { probeNumbers } from "../retrieval.js";
import { type NeedleProbe, type NeedleTask, type ProbeRequest, tooShort } from "./task.js";
import { asking, encode, fillerSource, requireSpelling } from "./text.js";

const introduction = "The JSON object below has keys and values. You will be asked for the value of one key.\n";
const opening = "\n{";
const question = (key: string) => `}\nKey: "${key}"\nCorresponding value: "`;
const separator = ",\n";
const fewestPairs = 2;

/** Words of eight hexadecimal digits, none twice. */
function distinctWords(random: () => number): () => string {
  const used = new Set<string>();
  return () => {
    for (;;) {
      const word = Math.floor(random() * 2 ** 32)
        .toString(16)
        .padStart(8, "0");
      if (used.has(word)) continue;
      used.add(word);
      return word;
    }
  };
}

export async function keyValueTask({ tokenizer }: Model): Promise<NeedleTask> {
  await requireSpelling(tokenizer, "kv", "0f8a27c3");
  const [begin, open, filler] = await Promise.all([
    tokenizer.encode(introduction),
    encode(tokenizer, opening),
    fillerSource(tokenizer),
  ]);
  const encodePair = (key: string, value: string, before = separator) =>
    encode(tokenizer, `${before}"${key}": "${value}"`);

  async function probe(word: () => string, depth: number, { length, signal }: ProbeRequest): Promise<NeedleProbe> {
    const [key, value] = [word(), word()];
    const asked = await asking(tokenizer, question(key), value);
    const needle = await encodePair(key, value);
    let room = length - begin.length - open.length - asked.question.length - needle.length;
    const pairs: { key: string; value: string; ids: number[] }[] = [];
    for (;;) {
      signal?.throwIfAborted();
      const pair = { key: word(), value: word() };
      const ids = await encodePair(pair.key, pair.value);
      if (ids.length > room && pairs.length + 1 < fewestPairs) tooShort("kv", length - room + ids.length, length);
      if (ids.length > room) break;
      room -= ids.length;
      pairs.push({ ...pair, ids });
    }
    pairs.splice(Math.round(depth * pairs.length), 0, { key, value, ids: needle });
    pairs[0]!.ids = await encodePair(pairs[0]!.key, pairs[0]!.value, "");
    const object = [...open, ...pairs.flatMap(({ ids }) => ids), ...asked.question];
    return {
      ids: [...begin, ...filler(length - begin.length - object.length), ...object],
      answer: asked.answer,
      depth,
    };
  }

  return {
    name: "kv",
    title: "a value in a JSON object",
    async probes(request) {
      const { length, depths, count, seed } = request;
      const random = probeNumbers(seed, length);
      const probes: NeedleProbe[] = [];
      for (let i = 0; i < count * depths.length; i++)
        probes.push(await probe(distinctWords(random), depths[i % depths.length]!, request));
      return probes;
    },
  };
}
