"""One child process and all below it: start, stop, kill, freeze. It never outlives its parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gomatch.cli.servers.accounts import Account
from gomatch.errors import GomatchError

# Reads from a pipe whose other end only the parent holds. A line means "ended in order"; end of
# file means that the parent died, in whatever way, and the server must end as well.
_WATCHDOG = """
read -r line && exit 0
kill -"$2" "$1" 2>/dev/null || exit 0
for _ in 1 2 3 4 5 6 7 8 9 10; do sleep 0.5; kill -0 "$1" 2>/dev/null || exit 0; done
kill -KILL "$1" 2>/dev/null
kill -KILL -- "-$1" 2>/dev/null
"""


class ServerError(GomatchError):
    """A local server could not be installed, started or stopped; says why and where its log is."""

    code = "local_server"


class ServerProcess:
    """Not a PR_SET_PDEATHSIG: that fires when the *thread* that forked ends, and servers are
    started from worker threads."""

    def __init__(
        self,
        argv: Sequence[str],
        *,
        log: Path,
        environment: Mapping[str, str],
        folder: Path,
        account: Account | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.argv = list(argv)
        self.log = log
        self._stop_signal = stop_signal
        with log.open("ab") as output:
            self._process = subprocess.Popen(  # noqa: S603  our own argv
                [*_switch(account), *self.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=folder,
                start_new_session=True,
            )
        self._watchdog = subprocess.Popen(  # noqa: S603  our own argv
            ["/bin/sh", "-c", _WATCHDOG, "watchdog", str(self.pid), stop_signal.name[3:]],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return int(self._process.pid)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        code: int | None = self._process.poll()
        return code

    def stop(self, timeout: float) -> None:
        """Ask it to end; after ``timeout`` seconds kill it."""
        if self.running:
            self.resume()
            self._process.send_signal(self._stop_signal)
            try:
                self._process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
        self._dismiss_watchdog()

    def kill(self) -> None:
        """SIGKILL to it and everything below it; returns when all are gone."""
        members = process_tree(self.pid) if self.running else []
        _signal_all(members, signal.SIGKILL)
        self._process.wait()
        deadline = time.monotonic() + 10
        while any(is_alive(pid) for pid in members) and time.monotonic() < deadline:
            time.sleep(0.005)
        self._dismiss_watchdog()

    def pause(self) -> None:
        _signal_all(process_tree(self.pid), signal.SIGSTOP)

    def resume(self) -> None:
        _signal_all(process_tree(self.pid), signal.SIGCONT)

    def log_tail(self, lines: int = 15) -> str:
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _dismiss_watchdog(self) -> None:
        if self._watchdog.poll() is None:
            self._watchdog.communicate(b"ended\n")


def run_program(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    account: Account | None = None,
    timeout: float = 60.0,
) -> str:
    """Run to its end; its output. Raises ServerError with what it said when it fails."""
    try:
        done = subprocess.run(  # noqa: S603  our own commands
            [*_switch(account), *command],
            check=False,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=dict(environment) if environment is not None else None,
            cwd=folder,
        )
    except subprocess.TimeoutExpired as error:
        raise ServerError(f"{command[0]} did not end within {timeout:g} s") from error
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip())[-2000:]
        raise ServerError(f"`{' '.join(command[:4])}` failed ({done.returncode}): {said}")
    return str(done.stdout)


def _switch(account: Account | None) -> list[str]:
    """A command that runs another as ``account``.

    Not Popen's ``user``: for that Python forks where else it would vfork, and what gRPC does in a
    forked child crashes it while calls are under way. Raises ServerError.
    """
    if account is None:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ServerError(
            f"running as root, and the program setpriv (of util-linux), which switches to the "
            f"account {account.name}, is missing: install it, or run this as another user"
        )
    return [setpriv, f"--reuid={account.uid}", f"--regid={account.gid}", "--clear-groups", "--"]


def process_tree(root: int) -> list[int]:
    """``root`` and all its descendants, parents first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            parent = _parent(int(entry.name))
            if parent is not None:
                children.setdefault(parent, []).append(int(entry.name))
    tree = [root]
    for pid in tree:
        tree.extend(children.get(pid, ()))
    return tree


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _parent(pid: int) -> int | None:
    fields = _stat(pid)
    return int(fields[1]) if fields else None


def is_alive(pid: int) -> bool:
    """False for one that ended and only waits to be noticed by its parent, too."""
    fields = _stat(pid)
    return bool(fields) and fields[0] != "Z"


def _signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
