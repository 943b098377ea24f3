"""pytest plugins around every test: none hangs for ever (watchdog), none leaks (leaks), and all
find the signals of a terminal (dispositions)."""
