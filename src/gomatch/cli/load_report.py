"""A load report for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group, RenderableType

from gomatch.cli.output import fields, table
from gomatch.load.statistics import LoadReport


def report_view(report: LoadReport) -> RenderableType:
    latencies = (
        ("to the acknowledgement", report.acknowledgement),
        ("to the fill on the stream", report.fill),
        ("of these, sent late", report.late),
    )
    return Group(
        fields(
            (
                ("commands", f"{report.orders:,} in {report.seconds:.1f} s"),
                (
                    "acknowledged",
                    f"{report.acknowledged:,} ({report.orders_per_second:,.0f} a second)",
                ),
                ("requests", f"{report.requests:,}"),
                ("refused", _counts(report.refused)),
                ("failed", _counts(report.failed_requests)),
                ("skipped", _counts(report.skipped)),
                (
                    "private events",
                    (
                        f"{report.private_events:,} in {report.private_messages:,} messages, "
                        f"{report.stream_gaps} gaps, {report.reconnects} reconnects"
                    ),
                ),
                ("generator's CPU", f"{report.client_cpu:.2f} s"),
            )
        ),
        "",
        table(
            ("latency, ms", ">count", ">mean", ">p50", ">p90", ">p99", ">p99.9", ">max"),
            (
                (
                    name,
                    f"{summary.count:,}",
                    *(
                        f"{value:,.2f}"
                        for value in (
                            summary.mean,
                            summary.p50,
                            summary.p90,
                            summary.p99,
                            summary.p999,
                            summary.maximum,
                        )
                    ),
                )
                for name, summary in latencies
            ),
        ),
    )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"
