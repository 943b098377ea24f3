"""pytest plugins around every test: none hangs for ever (watchdog), none leaks (leaks), all
find the signals of a terminal (dispositions), and what has invariants keeps them (invariants)."""
