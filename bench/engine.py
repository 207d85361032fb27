"""The engine by itself, in operations per CPU-second, against two Python peers in the same run.

    python -m bench.engine [--rounds 5] [--write]

Each measurement is a process of its own (see engine_contenders), contenders take turns, and the
median of the rounds counts. All must come to the same number of trades and lots. The peers are
installed by name into bench/.peers. ``--write`` puts the results into bench/results/engine.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import msgspec

from bench.engine_contenders import CONTENDERS, PEERS
from bench.engine_flows import Flow, deep, fronts, mix, wide
from gomatch.messages.codec import pack_commands

ROOT = Path(__file__).parent.parent
REPORT = Path(__file__).parent / "results" / "engine.md"
OURS = ["gomatch", "gomatch, everything in use"]
REQUIREMENTS = ("matching-engine==0.1.1", "pyorderbook==0.4.9", "sortedcontainers==2.4.0")


@dataclass(frozen=True)
class Measured:
    contender: str
    flow: str
    collector: str
    rates: list[float]
    """Operations per CPU-second, by round."""
    outcome: tuple[int, int]
    """Trades and lots."""

    @property
    def rate(self) -> float:
        return median(self.rates)


def install_peers() -> None:
    """Install the peers beside this file. matching-engine states 3.12 for its ``type`` aliases
    alone; they are rewritten as assignments so that all run on the same interpreter."""
    if not PEERS.exists():
        options = ["--quiet", "--no-deps", "--python-version", "3.12", "--target", str(PEERS)]
        subprocess.run(
            [sys.executable, "-m", "uv", "pip", "install", *options, *REQUIREMENTS], check=True
        )
    for path in (PEERS / "matching_engine").glob("*.py"):
        lines = path.read_text().splitlines(keepends=True)
        rewritten = [line.removeprefix("type ") if _alias(line) else line for line in lines]
        if rewritten != lines:
            path.write_text("".join(rewritten))


def _alias(line: str) -> bool:
    return line.startswith("type ") and " = " in line


def measure(contender: str, path: Path, collector: str) -> dict[str, float]:
    command = [sys.executable, "-m", "bench.engine_contenders", contender, str(path), collector]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def run(flow: Flow, contenders: list[str], collectors: list[str], rounds: int) -> list[Measured]:
    """Measure all combinations, in turns."""
    with tempfile.NamedTemporaryFile() as file:
        parts = [pack_commands(flow.before), pack_commands(flow.commands)]
        Path(file.name).write_bytes(msgspec.msgpack.encode(parts))
        rates: dict[tuple[str, str], list[float]] = {}
        outcomes: dict[tuple[str, str], tuple[int, int]] = {}
        for _ in range(rounds):
            for collector in collectors:
                for contender in contenders:
                    result = measure(contender, Path(file.name), collector)
                    key = (contender, collector)
                    rates.setdefault(key, []).append(result["operations"] / result["seconds"])
                    outcomes[key] = (int(result["trades"]), int(result["lots"]))
    if len(set(outcomes.values())) != 1:
        raise SystemExit(f"the contenders disagree about {flow.name}: {outcomes}")
    return [
        Measured(contender, flow.name, collector, values, outcomes[contender, collector])
        for (contender, collector), values in rates.items()
    ]


def report(against: list[Measured], worst: list[Measured], rounds: int) -> str:
    load = os.getloadavg()[0]
    trades, lots = against[0].outcome
    lines = [
        "# The engine by itself",
        "",
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.1f} at the end",
        f"(other programs were running), {rounds} rounds in turns, each measurement a process of",
        "its own; median, in brackets the range. CPU time (`time.process_time`) of applying the",
        "commands, nothing else. Made by `python -m bench.engine --write`.",
        "",
        "## Against peers",
        "",
        "200,000 operations, seed 1: 60 % rest within 100 ticks, 25 % cross, 15 % cancel; 100",
        "users. gomatch, one code path with everything compiled in, gives all its events, in",
        'batches of 100 with the changes drained after each; "everything in use": 1,000 waiting',
        "stops, price band, fees, least notional, a limit of open orders. Every contender made the",
        f"same {trades:,} trades of {lots:,} lots. Commands are made beforehand for all. Timed for",
        "gomatch alone: draining the changes, an event for each order that rests. matching-engine",
        "gives the other events as gomatch does; pyorderbook returns trades only.",
        "",
        "| | collector on, ops/CPU-s | collector frozen and off, ops/CPU-s |",
        "|---|---|---|",
    ]
    by = {(one.contender, one.collector): one for one in against}
    for name in CONTENDERS:
        cells = " | ".join(_cell(by[name, collector]) for collector in ("on", "frozen"))
        lines.append(f"| {name} | {cells} |")
    for ours in OURS:
        ratios = []
        for collector in ("on", "frozen"):
            peer = max(by[name, collector].rate for name in CONTENDERS if name not in OURS)
            ratios.append(f"{by[ours, collector].rate / peer:.2f}×")
        lines.append(f"| {ours}: to the better peer | {' | '.join(ratios)} |")
    lines.append("")
    lines += [
        "## Worst cases",
        "",
        "gomatch with everything in use, 100,000 orders in the book beforehand, the same shares of",
        "operations.",
        "",
        "| | collector | ns/operation | to the mix |",
        "|---|---|---|---|",
    ]
    for one in worst:
        base = by[one.contender, one.collector].rate
        cells = f"{one.flow} | {one.collector} | {1e9 / one.rate:,.0f} | {base / one.rate:.2f}×"
        lines.append(f"| {cells} |")
    return "\n".join(lines) + "\n"


def _cell(one: Measured) -> str:
    return f"{one.rate:,.0f} ({min(one.rates):,.0f} to {max(one.rates):,.0f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    install_peers()
    collectors = ["on", "frozen"]
    against = run(mix(), list(CONTENDERS), collectors, options.rounds)
    worst: list[Measured] = []
    for flow in (deep(), fronts(), wide()):
        worst += run(flow, OURS[1:], collectors, options.rounds)
    text = report(against, worst, options.rounds)
    print(text)
    if options.write:
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.write_text(text)


if __name__ == "__main__":
    main()
