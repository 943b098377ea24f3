"""The page of a report: one file of HTML that needs nothing else, neither network nor scripts."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from seqloader.command.report.drawing import bars, curves, timeline
from seqloader.command.report.summary import duration, headline, histogram, slowest, times

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from seqloader.command.report.facts import Facts

__all__ = ["page_of"]

MOST_ROWS: Final = 50

STYLE: Final = """
:root { color-scheme: light dark; --ink: #1c2330; --soft: #667085; --paper: #ffffff;
  --line: #dfe3ea; --wait: #d9480f; --hand: #7048e8; --loop: #8795a8; --hook: #c2255c;
  --other: #c5ccd6; --take: #adb5bd; --compute: #1c7ed6; --encode: #f59f00; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #98a2b3; --paper: #14181f;
  --line: #2c333f; --loop: #67758a; --other: #414b5a; --take: #5c6470; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  max-width: 1060px; margin: 2.5rem auto; padding: 0 1.5rem; }
h1 { font-size: 1.4rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.4rem 0 .6rem; }
.soft, small { color: var(--soft); } .verdict { font-size: 1.15rem; margin: .8rem 0 1.2rem; }
svg { width: 100%; height: auto; display: block; } svg text { font-size: 12px; fill: var(--soft); }
.idle { fill: var(--line); opacity: .45; } line.epoch { stroke: var(--line); }
.death path { stroke: #e03131; stroke-width: 2.5; } .death line { stroke: #e03131; }
.wait { fill: var(--wait); } .hand { fill: var(--hand); } .loop { fill: var(--loop); }
.hook { fill: var(--hook); } .other { fill: var(--other); } .take { fill: var(--take); }
.compute { fill: var(--compute); } .encode { fill: var(--encode); }
polyline { fill: none !important; stroke-width: 2; } polyline.consumer { stroke: var(--loop); }
polyline.workers { stroke: var(--compute); } polyline.held { stroke: var(--hand); }
.bar { display: flex; height: 26px; border-radius: 4px; overflow: hidden; background: var(--line); }
.bar div.wait { background: var(--wait); } .bar div.hand { background: var(--hand); }
.bar div.loop { background: var(--loop); } .bar div.hook { background: var(--hook); }
.bar div.other { background: var(--other); }
.key { margin: .5rem 0; color: var(--soft); font-size: 13px; }
.key span { display: inline-block; margin-right: 1.1rem; }
.key i { display: inline-block; width: 11px; height: 11px; border-radius: 2px; margin-right: 5px; }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { text-align: right; padding: .25rem .6rem; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 500; } td:last-child, th:last-child { text-align: left; }
code { font: 13px ui-monospace, monospace; }
"""


def page_of(facts: Facts, *, source: str) -> str:
    """The page, as text; `source`: name of the trace."""
    verdict = facts.verdict
    parts = [
        f"<h1>{escape(facts.subject)}</h1>",
        f'<div class="soft">{escape(source)}, {facts.length_s:.1f} s{_remarks(facts)}</div>',
        f'<p class="verdict">{escape(verdict or headline(facts))}</p>',
    ]
    if verdict:
        parts.append(f"<p>{escape(headline(facts))}</p>")
    parts += [
        _where_the_time_went(facts),
        _timeline(facts),
        _batch_times(facts),
        _slowest(facts),
        _memory(facts),
        _deaths(facts),
    ]
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        f"<title>{escape(facts.subject)}</title><style>{STYLE}</style></head>\n<body>"
        + "\n".join(parts)
        + "</body></html>\n"
    )


def _remarks(facts: Facts) -> str:
    remarks = ""
    if not facts.whole:
        remarks += "; the trace was cut off, so its writer was killed or has not ended yet"
    if facts.thinned > 1:
        remarks += f"; the trace was thinned: of {facts.thinned} batches one is in it, at the end"
    return remarks


def _where_the_time_went(facts: Facts) -> str:
    rows = times(facts)
    whole_s = max(sum(seconds for _, seconds, _ in rows), 1e-9)
    cells = "".join(
        f'<div class="{kind}" style="width:{100 * seconds / whole_s:.2f}%"></div>'
        for _, seconds, kind in rows
    )
    key = _key(
        (f"{what} {100 * seconds / whole_s:.1f} % ({duration(seconds)})", kind)
        for what, seconds, kind in rows
    )
    return f'<h2>Where the consumer\'s time went</h2><div class="bar">{cells}</div>{key}'


def _timeline(facts: Facts) -> str:
    kinds = ["wait", "hand", "loop", "hook", "other", "take", "compute", "encode"]
    words = {
        "hand": "hand-over",
        "loop": "your loop",
        "other": "else",
        "take": "take: load a state",
    }
    key = _key((words.get(kind, kind), kind) for kind in kinds)
    return f"<h2>Timeline</h2>{timeline(facts)}{key}"


def _key(entries: Iterable[tuple[str, str]]) -> str:
    spans = "".join(
        f'<span><i style="background:var(--{kind})"></i>{escape(text)}</span>'
        for text, kind in entries
    )
    return f'<div class="key">{spans}</div>'


def _batch_times(facts: Facts) -> str:
    labels, counts = histogram(facts)
    if not labels:
        return ""
    encode_s = sum(batch.encode_s * batch.weight for batch in facts.batches)
    busy_s = sum(batch.busy_s * batch.weight for batch in facts.batches)
    share = 100 * encode_s / max(busy_s, 1e-9)
    note = (
        "Each bar: batches that took up to so long. "
        f"{share:.1f} % of the time went into writing batches into shared memory."
    )
    return (
        "<h2>How long a batch takes its worker</h2>"
        f"{bars(labels, counts, 'batch times')}<small>{note}</small>"
    )


def _slowest(facts: Facts) -> str:
    rows = [
        (
            str(slow.index),
            duration(slow.longest_s),
            duration(slow.mean_s),
            str(slow.count),
            str(slow.raised or ""),
            f"<code>{escape(slow.line)}</code>",
        )
        for slow in slowest(facts)
    ]
    heads = ("index", "longest", "mean", "times", "raised", "reproduce it in the process")
    return f"<h2>Slowest indices</h2>{_table(heads, rows)}" if rows else ""


def _memory(facts: Facts) -> str:
    if not facts.memory:
        return ""
    series = {
        "consumer": [(m.at_s, m.consumer / 2**20) for m in facts.memory],
        "workers": [(m.at_s, m.workers / 2**20) for m in facts.memory],
        "held": [(m.at_s, m.held / 2**20) for m in facts.memory],
    }
    key = _key(
        [
            ("the consumer's own", "loop"),
            ("its descendants' own", "compute"),
            ("batches that the consumer holds, in shared memory", "hand"),
        ]
    )
    return f"<h2>Memory</h2>{curves(series, facts.length_s, 'MiB', 'memory')}{key}"


def _deaths(facts: Facts) -> str:
    rows = []
    for mark in facts.marks:
        if mark.name not in ("died", "raised", "no replacement"):
            continue
        more = mark.arguments
        what = mark.name
        if mark.name == "died":
            code = more.get("exitcode")
            how = f"signal {-code}" if isinstance(code, int) and code < 0 else f"exit {code}"
            what = f"pid {more.get('pid')} died: {how}, {more.get('reason')}"
        elif mark.name == "raised":
            what = f"raised {more.get('error')}"
        elif more.get("why"):
            what = f"no replacement: {more['why']}"
        again = ""
        if "index" in more:
            line = f"enqueuer.compute({more['index']}, epoch={more['epoch']})"
            again = f"<code>{escape(line)}</code>"
        slot = "" if mark.slot is None else str(mark.slot)
        rows.append((f"{mark.at_s:.3f} s", slot, escape(what), again))
    if not rows:
        return "<h2>Deaths and errors</h2><p>None.</p>"
    left_out = len(rows) - MOST_ROWS
    note = f"<p>and {left_out} more</p>" if left_out > 0 else ""
    heads = ("at", "worker", "what", "reproduce it in the process")
    return f"<h2>Deaths and errors</h2>{_table(heads, rows[:MOST_ROWS])}{note}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """`rows` are HTML already."""
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
