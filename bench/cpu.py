"""CPU time of the venue's processes, from /proc."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path

from gomatch.cli.servers.process import process_tree

GENERATOR = "load generator"
_TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(root: int) -> float:
    """User and system time of a process and its descendants, those that ended too."""
    ticks = 0
    for pid in process_tree(root):
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(value) for value in fields[11:15])
    return ticks / _TICKS


class CpuMeter:
    """Seconds of CPU by name since it was made, and of this process as the load generator."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._pids = pids
        self._began = {name: cpu_seconds(pid) for name, pid in pids.items()}
        self._own = time.process_time()

    def used(self) -> dict[str, float]:
        used = {name: cpu_seconds(pid) - self._began[name] for name, pid in self._pids.items()}
        used[GENERATOR] = time.process_time() - self._own
        return used


def server_seconds(used: Mapping[str, float]) -> float:
    """All processes but the load generator."""
    return sum(seconds for name, seconds in used.items() if name != GENERATOR)
