"""What an audit found, and what it could not check."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FINDINGS_SHOWN = 200


@dataclass(frozen=True, slots=True)
class Finding:
    """``kind`` is stable; ``detail`` says where and what differs."""

    market: str
    kind: str
    detail: str


@dataclass(slots=True)
class MarketFigures:
    """How much was checked."""

    commands: int = 0
    events: int = 0
    orders: int = 0
    trades: int = 0
    images: int = 0
    journal_rows: int = 0
    sequence: int = 0
    mirror_sequence: int | None = None


@dataclass(slots=True)
class AuditReport:
    """``clean`` when nothing differs, ``complete`` when nothing was left ``unchecked``: what
    should have been looked at and could not be. ``outside`` is what was not meant to be: left out
    by the caller, or not stored any more. Only the first findings are kept; ``more`` counts the
    others."""

    findings: list[Finding] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    outside: list[str] = field(default_factory=list)
    markets: dict[str, MarketFigures] = field(default_factory=dict)
    more: int = 0

    @property
    def clean(self) -> bool:
        return not self.findings

    @property
    def complete(self) -> bool:
        return not self.unchecked

    def add(self, market: str, kind: str, detail: str) -> None:
        if len(self.findings) < FINDINGS_SHOWN:
            self.findings.append(Finding(market, kind, detail))
        else:
            self.more += 1

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "clean": self.clean,
            "complete": self.complete,
            "findings": [
                {"market": one.market, "kind": one.kind, "detail": one.detail}
                for one in self.findings
            ],
            "more": self.more,
            "unchecked": self.unchecked,
            "outside": self.outside,
            "markets": {
                symbol: {name: getattr(figures, name) for name in MarketFigures.__slots__}
                for symbol, figures in self.markets.items()
            },
        }
