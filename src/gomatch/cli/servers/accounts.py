"""PostgreSQL refuses to run as root: the account to use then, and what it can reach."""

from __future__ import annotations

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Account:
    name: str
    uid: int
    gid: int

    def can_reach(self, path: Path) -> bool:
        """Whether every folder above ``path`` lets this account through."""
        return all(
            _may_search(folder.stat(), self) for folder in path.resolve().parents if folder.exists()
        )


def unprivileged_account() -> Account | None:
    """None when this process is not root and so needs no other account.

    Raises KeyError when there is neither `postgres` nor `nobody`.
    """
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise KeyError("running as root, and there is no account `postgres` or `nobody` to switch to")


def _may_search(status: os.stat_result, account: Account) -> bool:
    if status.st_uid == account.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
