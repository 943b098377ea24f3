"""The guards around every test, and the one plugin that tests of the guards need."""

from __future__ import annotations

pytest_plugins = [
    "pytester",
    "guards.dispositions",
    "guards.heap",
    "guards.invariants",
    "guards.watchdog",
    "guards.leaks",
    "guards.restless",
    "on_ray",
]
