"""What the machine is, as it says itself."""

import shutil
import subprocess

import torch

QUERY = "name,driver_version,compute_cap,clocks.sm,clocks.max.sm,clocks.mem,power.limit,power.draw,temperature.gpu"


def jobs(plugin, options):
    yield "plugin", lambda: {"ok": True, "text": plugin.describe()}
    yield "torch", lambda: {"ok": True, "text": f"{torch.__version__}, CUDA {torch.version.cuda}"}
    if shutil.which("nvidia-smi"):
        command = ["nvidia-smi", f"--query-gpu={QUERY}", "--format=csv,noheader"]
        run = lambda: subprocess.run(command, capture_output=True, text=True, timeout=20).stdout.strip()
        yield "nvidia-smi", lambda: {"ok": True, "text": run()}
