"""Tests and benches of longspan_cuda.so, with torch in the same process: against float64, torch's own kernels and what
the device can do. Every kernel that hangs or kills its context costs one case: a worker process runs the cases and is
started anew behind the one that broke it.

  python3 harness.py build/longspan_cuda.so [--only facts,correctness,ops,bench] [--quick] [--time-limit seconds]
  python3 harness.py --cpu-emulated build/longspan_cuda.so    a plugin whose device memory is host memory

One table is printed; with $OUT set, results.json goes there. The exit code is 1 where a case failed."""

import argparse
import json
import os
import pathlib
import select
import subprocess
import sys
import time

PHASES = ["facts", "correctness", "ops", "bench"]
SHARES = {"facts": 1.0, "correctness": 0.5, "ops": 0.25, "bench": 1.0}  # of the time that is left when a phase begins
STALLS = {"facts": 60, "correctness": 25, "ops": 25, "bench": 75}  # compilers of peers take their time
START = 120  # seconds for torch to be imported and the device to be opened
MOST_RESTARTS = 20


def parse():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("plugin", nargs="?", help="longspan_cuda.so")
    parser.add_argument("--cpu-emulated", metavar="PLUGIN")
    parser.add_argument("--only", default=",".join(PHASES))
    parser.add_argument("--match", default="", help="only jobs whose name holds this")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--count", type=int, default=0, help="cases of the correctness matrix")
    parser.add_argument("--time-limit", type=float, default=3600)
    parser.add_argument("--stall", type=float, default=0, help="seconds after which a job counts as hung")
    parser.add_argument("--worker", help=argparse.SUPPRESS)  # phase
    parser.add_argument("--pipe", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.path = options.cpu_emulated or options.plugin
    if not options.path:
        parser.error("which plugin?")
    if options.cpu_emulated:
        options.quick = True
    return options


# --- the worker: one phase, job after job, a line of JSON before and behind each


def work(options):
    import torch

    from plugin import KernelError, Plugin

    pipe = os.fdopen(options.pipe, "w", buffering=1)
    say = lambda **message: pipe.write(json.dumps(message) + "\n")
    done = set(json.loads(sys.stdin.read()))
    plugin = Plugin(os.path.abspath(options.path), bool(options.cpu_emulated))
    torch.manual_seed(1)
    say(ready=plugin.describe())
    module = __import__(options.worker)
    for name, job in module.jobs(plugin, options):
        if options.match not in name:
            continue
        if name in done:
            continue
        if time.time() > options.until:
            say(left=name)
            continue
        say(begin=name)
        started = time.time()
        try:
            result = job()
        except KernelError as error:  # refused, unless it is the device that failed
            broken = "(cuda" in str(error)
            result = {"ok": not broken, "refused": str(error)}
            if broken:
                result["faults"] = [str(error)]
        except Exception as error:
            result = {"ok": False, "faults": [f"{type(error).__name__}: {error}"[:400]]}
        say(end=name, seconds=round(time.time() - started, 3), **result)
        if not result["ok"] and not plugin.usable():
            os._exit(3)
        if not plugin.emulated and options.worker == "bench":
            torch.cuda.empty_cache()  # the plugin allocates beside torch
    say(finished=True)
    pipe.flush()
    os._exit(0)  # without a wait for whatever still runs


# --- the parent


class Phase:
    def __init__(self, name, options, deadline):
        self.name, self.options, self.deadline = name, options, deadline
        self.stall = options.stall or STALLS[name]
        self.results, self.left, self.running, self.finished, self.device = {}, [], None, False, None

    def start(self):
        read, write = os.pipe()
        command = [sys.executable, __file__, *sys.argv[1:], "--worker", self.name, "--pipe", str(write)]
        command += ["--until", str(self.deadline)]
        # The build's own output may be in stdout; torch and compilers write there too
        child = subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=[write], cwd=os.getcwd())
        os.close(write)
        child.stdin.write(json.dumps(list(self.results)).encode())
        child.stdin.close()
        return child, os.fdopen(read, "rb", buffering=0)

    def take(self, message):
        if "ready" in message:
            self.device = message["ready"]
        elif "begin" in message:
            self.running = message["begin"]
        elif "left" in message:
            self.left.append(message["left"])
        elif "finished" in message:
            self.finished = True
        else:
            name = message.pop("end")
            self.results[name] = message
            self.running = None
            show(self.name, name, message)

    def attempt(self):
        """One worker, until it ends or hangs. Why it did not finish, or None."""
        self.left, self.running = [], None
        child, pipe = self.start()
        rest, heard, why, patience = b"", time.time(), None, START
        while True:
            if select.select([pipe], [], [], 1.0)[0]:
                data = os.read(pipe.fileno(), 1 << 16)
                if not data:
                    break
                heard, patience = time.time(), self.stall
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    self.take(json.loads(line))
            elif time.time() - heard > patience:
                why = f"hung for {patience:.0f} s"
                child.kill()
                break
            elif time.time() > self.deadline + self.stall:
                why = "out of time"
                child.kill()
                break
        pipe.close()
        status = child.wait()
        return None if self.finished else why or f"the worker died with {status}"

    def run(self):
        for _ in range(MOST_RESTARTS):
            before = len(self.results)
            why = self.attempt()
            if why is None:
                return
            if self.running:
                self.results[self.running] = {"ok": False, "faults": [why]}
                show(self.name, self.running, self.results[self.running])
            elif len(self.results) == before:
                print(f"{self.name}: {why}", flush=True)
                self.results["(start)"] = {"ok": False, "faults": [why]}
                self.left.append("all behind it")
                return
            if time.time() > self.deadline:
                self.left.append("all behind it")
                return
        self.left.append(f"all behind {MOST_RESTARTS} restarts")


def show(phase, name, result):
    if phase == "bench":
        import bench_table

        print(bench_table.line(name, result), flush=True)
    elif not result["ok"]:
        print(f"FAILED {name}: {'; '.join(result['faults'])}", flush=True)
    elif phase == "facts":
        print(f"{name}: {result['text']}", flush=True)


def summary(phase):
    results = phase.results.values()
    failed = sum(not result["ok"] for result in results)
    left = len(phase.left)
    refused = {}
    for result in results:
        if "refused" in result and result["ok"]:
            refused[result["refused"]] = refused.get(result["refused"], 0) + 1
    passed = len(results) - failed - sum(refused.values())
    worst = max((r["error"] / r["torch"] for r in results if r.get("torch")), default=0)
    print(f"== {phase.name}: {passed} passed, {failed} failed, {sum(refused.values())} refused, {left} left out")
    if worst:
        print(f"   largest error against torch's in the same dtype: {worst:.2f} times")
    for text, count in refused.items():
        print(f"   refused {count} times: {text}")
    if phase.left:
        print(f"   left out for lack of time: {'; '.join(phase.left[:8])}{' …' if len(phase.left) > 8 else ''}")
    sys.stdout.flush()
    return failed


def main():
    options = parse()
    if options.worker:
        return work(options)
    end = time.time() + options.time_limit
    failed, report = 0, {"plugin": options.path, "phases": {}}
    for name in PHASES:
        if name not in options.only.split(","):
            continue
        remaining = [other for other in PHASES[PHASES.index(name) + 1 :] if other in options.only.split(",")]
        share = SHARES[name] if remaining else 1.0
        phase = Phase(name, options, time.time() + (end - time.time()) * share)
        phase.run()
        failed += summary(phase)
        report["device"] = phase.device
        report["phases"][name] = {"results": phase.results, "leftOut": phase.left}
        if os.environ.get("OUT"):
            only = "-".join(options.only.split(","))
            (pathlib.Path(os.environ["OUT"]) / f"results-{only}.json").write_text(json.dumps(report, indent=1))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
