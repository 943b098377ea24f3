"""The findings as JSON, for machines. The reference of the command describes each field."""

from __future__ import annotations

import dataclasses
import json
import platform
from typing import TYPE_CHECKING, Any

import numpy as np

import seqloader

if TYPE_CHECKING:
    from seqloader.command.check.finding import Finding
    from seqloader.command.check.session import Session

__all__ = ["document"]

VERSION = 1
"""Of the document's form."""


def document(session: Session, status: int, seconds: float) -> str:
    """All that is known."""
    subject = session.subject
    content = {
        "version": VERSION,
        "exit_status": status,
        "seconds": round(seconds, 3),
        "versions": {
            "seqloader": seqloader.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
        "settings": dataclasses.asdict(session.settings),
        "subject": None if subject is None else dataclasses.asdict(subject),
        "findings": [_finding(each, session) for each in session.in_order()],
    }
    return json.dumps(content, indent=1, default=_plain)


def _finding(finding: Finding, session: Session) -> dict[str, Any]:
    facts = session.facts.get(finding.question)
    return {
        **dataclasses.asdict(finding),
        "facts": None if facts is None else dataclasses.asdict(facts),
    }


def _plain(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)
