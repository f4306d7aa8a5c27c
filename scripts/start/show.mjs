// What `npm start` prints: headings, tables, and a progress bar where a person watches, a line now and then elsewhere.
import cliProgress from "cli-progress";

export const count = (value) => Math.round(value).toLocaleString("en-US");
export const mebibytes = (bytes) => `${count(bytes / 2 ** 20)} MiB`;
export const seconds = (value) => (value < 10 ? `${value.toFixed(1)} s` : `${Math.round(value)} s`);

const bold = (text) => (process.stdout.isTTY && !process.env.NO_COLOR ? `\u001b[1m${text}\u001b[22m` : text);

export function heading(text) {
  console.log(`\n${bold(text)}`);
}

export function facts(pairs) {
  const width = Math.max(...pairs.map(([name]) => name.length));
  for (const [name, value] of pairs) console.log(`  ${name.padEnd(width)}  ${value}`);
}

export function table(head, rows) {
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i].length)));
  for (const cells of [head, ...rows])
    console.log(`  ${cells.map((cell, i) => (i ? cell.padStart(widths[i]) : cell.padEnd(widths[i]))).join("  ")}`);
}

/** Text in lines of at most 96 characters, indented. */
export function paragraph(text) {
  const words = text.trim().split(/\s+/);
  let line = "   ";
  for (const word of words) {
    if (line.length + word.length > 96) {
      console.log(line);
      line = "   ";
    }
    line += ` ${word}`;
  }
  console.log(line);
}

/** update(done, total, note) and stop(). */
export function progress(title) {
  if (!process.stderr.isTTY) return lines(title);
  const bar = new cliProgress.SingleBar({
    format: `  ${title} {bar} {percentage} %  {note}`,
    barsize: 30,
    barCompleteChar: "█",
    barIncompleteChar: "░",
    stream: process.stderr,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
  });
  let started = false;
  return {
    update(done, total, note = "") {
      if (!started) bar.start(total, done, { note });
      else bar.update(done, { note });
      started = true;
    },
    stop: () => bar.stop(),
  };
}

function lines(title) {
  let next = 0.25;
  return {
    update(done, total, note = "") {
      if (done / total < next) return;
      console.error(`  ${title} ${Math.round((100 * done) / total)} %  ${note}`);
      next = Math.floor((done / total) * 4) / 4 + 0.25;
    },
    stop() {},
  };
}
