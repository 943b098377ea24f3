"""Two pytest plugins around every test: no test hangs unseen (watchdog), none leaks (leaks)."""
