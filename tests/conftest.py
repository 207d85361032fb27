"""Fixtures for every test. A server starts when a test first asks for it."""

from __future__ import annotations

import signal

import pytest

pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.links",
    "tests.fixtures.apiserver",
    "tests.fixtures.answering_proxy",
    "tests.fixtures.cluster_layer",
    "tests.fixtures.snapshots",
    "tests.fixtures.management",
    "tests.fixtures.operator_process",
    "tests.fixtures.operator_stage",
    "tests.fixtures.shared_site",
    "tests.fixtures.images",
]


def pytest_configure(config: pytest.Config) -> None:
    # In the background of a script it is ignored, also by the programs that tests interrupt.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
