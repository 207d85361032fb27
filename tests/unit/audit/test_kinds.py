"""Every kind of finding is planted by a test; a new kind without one fails here."""

from __future__ import annotations

import ast
from pathlib import Path

import gomatch.audit
from tests.integration.audit import test_damage
from tests.integration.audit.damage import DATABASE, ELSEWHERE, MIRROR
from tests.unit.audit.flaws import FLAWS

_REPORTERS = {"report", "_report"}
"""What findings are reported by, with kind and detail."""


def kinds_of_the_audit() -> set[str]:
    """The constant that each reporting call has for its kind."""
    kinds = set()
    for file in Path(gomatch.audit.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            function = node.func
            name = function.attr if isinstance(function, ast.Attribute) else ""
            name = function.id if isinstance(function, ast.Name) else name
            if name not in _REPORTERS or len(node.args) != 2:
                continue
            kind = node.args[0]
            assert isinstance(kind, ast.Constant), f"{file.name}:{node.lineno}: no constant"
            kinds.add(str(kind.value))
    return kinds


def test_every_kind_is_planted() -> None:
    planted = {damage.kind for damage in DATABASE}
    planted |= {damage.kind for damage in MIRROR}
    planted |= {flaw.kind for flaw in FLAWS}
    for kind, test in ELSEWHERE.items():
        assert hasattr(test_damage, test)
        planted.add(kind)
    assert planted == kinds_of_the_audit()
