"""The program of one run: measure the case given as JSON, write its figures to a file.

python -m harness.one_run CASE_JSON RESULT_PATH
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from harness.cases import Case
from harness.checks import WrongBatch
from harness.measures import MEASURES

__all__ = ["main"]


def main(case_json: str, result_path: str) -> None:
    case = Case.from_json(case_json)
    outcome: dict[str, object]
    try:
        outcome = {"figures": MEASURES[case.measure](case)}
    except WrongBatch as error:
        outcome = {"wrong": str(error)}
    Path(result_path).write_text(json.dumps(outcome))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
