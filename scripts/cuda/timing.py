"""The median time of a call on the device, without what the host takes to ask for it."""

import statistics
import time

import torch

RUNS, LONGEST = 30, 1.0  # fewer runs where they would take longer than so many seconds


def host_median(calls):
    calls[0]()
    times = []
    for i in range(5):
        started = time.perf_counter()
        calls[i % len(calls)]()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e6, 5, 0.0


def events(calls, count):
    marks = [torch.cuda.Event(enable_timing=True) for _ in range(2 * count)]
    for i in range(count):
        marks[2 * i].record()
        calls[i % len(calls)]()
        marks[2 * i + 1].record()
    return marks


def median(plugin, calls):
    """Microseconds of one of the calls, which are taken in turn; how many runs; microseconds of the host for one."""
    with plugin.timed():
        return host_median(calls) if plugin.emulated else device_median(calls)


def device_median(calls):
    for _ in range(2):
        for call in calls:
            call()
    torch.cuda.synchronize()
    first = events(calls, 2)
    torch.cuda.synchronize()
    seconds = max(first[0].elapsed_time(first[1]), first[2].elapsed_time(first[3])) / 1e3
    count = max(5, min(RUNS if seconds > 1e-3 else 3 * RUNS, int(LONGEST / max(seconds, 1e-6))))
    # The device sleeps while the host fills its queue, so that no run waits for the host
    torch.cuda._sleep(int(2e9 * min(count * 120e-6, 0.05)))
    started = time.perf_counter()
    marks = events(calls, count)
    host = (time.perf_counter() - started) / count
    torch.cuda.synchronize()
    times = [marks[2 * i].elapsed_time(marks[2 * i + 1]) for i in range(count)]
    return statistics.median(times) * 1e3, count, host * 1e6
