"""`scripts/e2e.sh` without --bootstrap, on a machine that has next to nothing."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_SCRIPT = Path(__file__).parents[3] / "scripts" / "e2e.sh"
_PROGRAMS = ("bash", "dirname", "env", "id", "python3", "sed")


@pytest.mark.parametrize("arguments", [["--check"], []])
def test_what_is_missing_is_named_and_nothing_is_made(tmp_path: Path, arguments: list[str]) -> None:
    programs, home = tmp_path / "programs", tmp_path / "home"
    for folder in (programs, home):
        folder.mkdir()
    for name in _PROGRAMS:
        found = shutil.which(name)
        assert found is not None
        (programs / name).symlink_to(found)

    done = subprocess.run(
        [_SCRIPT, *arguments],
        env={"PATH": str(programs), "HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=90,
    )

    assert done.returncode == 1
    for missing in ("docker", "kind", "helm", "kubectl"):
        assert f"the program {missing}\n" in done.stderr
    for image in ("KIND_IMAGE", "BASE", "SERVERS"):
        assert f"{image}, the name of an image" in done.stderr
    assert "`make e2e BOOTSTRAP=1` installs" in done.stderr
    assert list(home.iterdir()) == []
