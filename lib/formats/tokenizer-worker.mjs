// The tokenizer's thread. It is plain JavaScript because a worker is started by file name, from dist/ and from lib/ alike.
// Messages: {id, op, …} in, {id, value} or {id, error} out.
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { Tokenizer } from "@huggingface/tokenizers";

function readJson(file, required) {
  let text;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (!required && error.code === "ENOENT") return {};
    throw error;
  }
  return JSON.parse(text);
}

/** @type {Tokenizer} */
let tokenizer;
let json;

// Whether text may be cut before a space between two letters without a change of ids: true where the pre-tokenizer
// cuts there anyway, and no added token reaches across.
function cutsAtSpaces() {
  const steps = json.pre_tokenizer?.pretokenizers ?? [json.pre_tokenizer];
  const byteLevel = steps.at(-1)?.type === "ByteLevel";
  const plain = !json.normalizer || json.normalizer.type === "NFC";
  if (!byteLevel || !plain || (json.added_tokens ?? []).some(({ content }) => /\s/.test(content))) return false;
  const ids = (text) => tokenizer.encode(text, { add_special_tokens: false }).ids.join();
  return ids("ab Cd efg Hi") === ["ab", " Cd", " efg", " Hi"].map(ids).join();
}

function specialIds() {
  return (json.added_tokens ?? []).filter(({ special }) => special).map(({ id }) => id);
}

const operations = {
  open() {
    json = readJson(workerData.tokenizerFile, true);
    tokenizer = new Tokenizer(json, readJson(workerData.configFile, false));
    return { cutsAtSpaces: cutsAtSpaces(), specialIds: specialIds() };
  },
  encode({ text, addSpecialTokens }) {
    return Int32Array.from(tokenizer.encode(text, { add_special_tokens: addSpecialTokens }).ids);
  },
  decode({ lists, skipSpecialTokens }) {
    const options = { skip_special_tokens: skipSpecialTokens, clean_up_tokenization_spaces: false };
    return lists.map((ids) => (ids.length ? tokenizer.decode(ids, options) : ""));
  },
};

parentPort.on("message", (message) => {
  try {
    const value = operations[message.op](message);
    parentPort.postMessage({ id: message.id, value }, value.buffer ? [value.buffer] : []);
  } catch (error) {
    parentPort.postMessage({ id: message.id, error: String(error?.message ?? error) });
  }
});
