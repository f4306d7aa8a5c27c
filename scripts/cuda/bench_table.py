"""One line a bench row; ceilings measured in the same run come first and give the shares."""

ceilings = {}


def rate(work, microseconds):
    return work / microseconds / 1e6  # of TFLOP or TB each second


def line(name, result):
    if "faults" in result and not result["ok"]:
        return f"FAILED {name}: {'; '.join(result['faults'])}"
    if "refused" in result:
        return f"{name:<46} refused: {result['refused']}"
    unit, work, own = result["unit"], result["work"], result["us"]
    if name.startswith("ceiling"):
        ceilings.setdefault(unit, rate(work, own))
    text = f"{name:<46} {own:>10.1f} us {rate(work, own):>8.2f} {unit}"
    if unit in ceilings:
        text += f" {100 * rate(work, own) / ceilings[unit]:>4.0f} %"
    peers = result.get("peers", {})
    for peer, us in sorted(peers.items(), key=lambda item: item[1]):
        text += f"  {peer} {us:.1f} ({us / own:.2f}x)"
    if result.get("differs"):
        text += f"  DIFFERS by {result['differs']:.1e}"
    if result.get("runs", 30) < 30:
        text += f"  [{result['runs']} runs]"
    if result.get("host", 0) > own:
        text += f"  [host {result['host']:.0f} us]"
    return text
