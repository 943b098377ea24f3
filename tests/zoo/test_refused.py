"""What cannot arrive as it is, is refused by name, on both ways; the table in the docs says so.

`SEQLOADER_REWRITE_TABLES=1 pytest tests/zoo/test_refused.py` writes the table.
"""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path

import pytest
from inhabitants import REFUSED, Holder

from seqloader.executors.process.consumer.sending import pickle_state
from seqloader.executors.process.wire import pickling
from seqloader.executors.process.wire.culprit import kind_of, type_name
from seqloader.executors.process.wire.refusals import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "my-sequence-cannot-be-pickled.md"
BEGIN = "<!-- begin: what is refused -->\n"
END = "<!-- end: what is refused -->\n"

CODE = re.compile(r"(__\w+__|numpy\.memmap|worker_init|\.path|traceback\.format_exc\(\))")
WAYS_OUT = {kind.title: kind for kind in KINDS}
EXAMPLES = [
    pytest.param(title, make, id=f"{title}-{number}")
    for title, makers in REFUSED.items()
    for number, make in enumerate(makers)
]


def said_by(call):
    """What was raised, with its notes."""
    with pytest.raises(Exception) as caught:
        call()
    return "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


@pytest.mark.parametrize(("title", "make"), EXAMPLES)
def test_value_is_refused_by_name_on_both_ways(title, make):
    value = make()
    kind = WAYS_OUT[title]

    sent = said_by(lambda: pickle_state(Holder(parts=[1, value])))
    returned = said_by(lambda: pickling.dumps({"parts": [1, value]}))

    assert f"sequence.parts[1], {kind_of(value)}, cannot be pickled" in sent
    assert kind.in_sequence in sent
    assert f'batch["parts"][1], {kind_of(value)}, cannot be pickled' in returned
    assert kind.in_batch in returned
    if hasattr(value, "close"):
        value.close()


def table():
    """The table of the page, from what is refused."""
    rows = [
        "| what | for instance | instead, in a Sequence | in a batch |",
        "|---|---|---|---|",
    ]
    for title, makers in REFUSED.items():
        names, kind = [], WAYS_OUT[title]
        for make in makers:
            value = make()
            bases = map(type_name, type(value).__mro__)
            names.append(f"`{next(name for name in bases if name in kind.names)}`")
            if hasattr(value, "close"):
                value.close()
        instances = ", ".join(dict.fromkeys(names))
        ways_out = [CODE.sub(r"`\1`", way) for way in (kind.in_sequence, kind.in_batch)]
        rows.append(f"| {title} | {instances} | {' | '.join(ways_out)} |")
    return "\n".join(rows) + "\n"


def test_table_of_the_page_is_what_is_refused():
    page = PAGE.read_text()
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)

    if os.environ.get("SEQLOADER_REWRITE_TABLES"):
        PAGE.write_text(f"{before}{BEGIN}{table()}{END}{after}")

    assert BEGIN + table() + END in PAGE.read_text()


def test_every_refused_kind_that_needs_no_device_is_in_the_table():
    elsewhere = {"tensors of a device", "streams and events of CUDA", "enqueuers"}

    assert {kind.title for kind in KINDS} == REFUSED.keys() | elsewhere


@pytest.mark.parametrize("error", [pickle.PicklingError, TypeError])
def test_kind_that_nobody_knows_gets_the_general_way_out(error):
    class Odd:
        def __reduce__(self):
            raise error("odd")

    said = said_by(lambda: pickle_state(Holder(odd=Odd())))

    assert "sequence.odd, a " in said
    assert "start_method='fork'" in said
