"""The three Dockerfiles begin alike: layers are shared only by the same steps on the same files."""

from __future__ import annotations

from pathlib import Path

_REPOSITORY = Path(__file__).resolve().parents[3]
_DOCKERFILES = ("images/api/Dockerfile", "images/matcher/Dockerfile", "operator/Dockerfile")
_END_OF_SHARED = "# The same as far as here.\n"


def test_the_shared_steps_are_the_same_in_every_dockerfile() -> None:
    texts = [(_REPOSITORY / path).read_text() for path in _DOCKERFILES]
    assert all(_END_OF_SHARED in text for text in texts)
    assert len({text.partition(_END_OF_SHARED)[0] for text in texts}) == 1


def test_no_dockerfile_needs_buildkit() -> None:
    for path in _DOCKERFILES:
        text = (_REPOSITORY / path).read_text()
        for feature in ("--mount", "--chmod", "--link", "<<", "# syntax"):
            assert feature not in text, f"{path} uses {feature}"
