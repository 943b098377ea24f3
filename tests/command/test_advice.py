from __future__ import annotations

from seqloader.command.faults import without_enqueuer


def test_advice_names_the_option_of_the_command_line():
    said = without_enqueuer("TypeError: leave it out, or pass start_method='fork'", "t:x", [])

    assert said == "TypeError: leave it out, or pass --start-method fork"
