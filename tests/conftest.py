"""The guards around every test, and the one plugin that tests of the guards need."""

from __future__ import annotations

pytest_plugins = [
    "pytester",
    "guards.dispositions",
    "guards.heap",
    "guards.watchdog",
    "guards.leaks",
]
