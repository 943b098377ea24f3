"""The glossary is law: words that are gone stay gone, and one of its words names one class."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "seqloader"
GLOSSARY = REPOSITORY / "docs" / "glossary.md"

GONE = {
    "bookmark": "place; or cursor, for the numbers alone",
    "claimant": "whoever asks",
    "in work": "being computed; or in flight, if what waits in the window counts as well",
    "recipe": "layout",
    "stray": "a handover that was not delivered",
}
"""Words -> what is said now. They are in no name, comment, message or page."""

GONE_FROM_NAMES = {
    "consumption": "delivery",
    "drop": "discard, forget",
    "forsake": "abandon",
    "give back": "release",
    "leave out": "skip",
    "let go": "release, forget",
    "lifecycle": "session",
    "planning": "plan, fit",
    "resumption": "jump, saved state",
    "retire": "reap, close",
    "watchdog": "occupations",
    "withdraw": "discard",
}
"""The same of modules, classes and functions; elsewhere these are plain English."""

ON_BOTH_SIDES = {"block"}
"""Consumer and worker each have a class for it: it is one thing, seen from two sides."""

SOURCES = sorted(PACKAGE.rglob("*.py"))
PAGES = [
    REPOSITORY / "README.md",
    *sorted(page for page in (REPOSITORY / "docs").rglob("*.md") if page.name != "changelog.md"),
]


def in_prose(text: str) -> str:
    """A text whose names are read as prose: `giveBack` and `_give_back` are "give back"."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|_+", " ", text)
    return re.sub(r"\s+(#\s+)?", " ", apart).lower()


@cache
def read(path: Path) -> str:
    return in_prose(path.read_text())


def is_said(words: str, prose: str) -> bool:
    """Whether the words stand in it, the last of them perhaps in the plural."""
    return re.search(rf"\b{words}s?\b", prose) is not None


@cache
def named_in(source: Path) -> list[tuple[str, str]]:
    """Kind and name of the module and of the classes and functions in it."""
    found = [("module", source.stem)]
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.ClassDef):
            found.append(("class", node.name))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.append(("function", node.name))
    return found


@pytest.mark.parametrize("words", GONE)
def test_a_word_that_is_gone_is_said_nowhere(words):
    said = [
        str(path.relative_to(REPOSITORY))
        for path in [*SOURCES, *PAGES]
        if is_said(words, read(path))
    ]

    assert said == [], f"{words!r} is gone; say: {GONE[words]}"


@pytest.mark.parametrize("words", GONE_FROM_NAMES)
def test_a_word_that_is_gone_names_nothing(words):
    named = [
        f"{kind} {name} ({source.relative_to(REPOSITORY)})"
        for source in SOURCES
        for kind, name in named_in(source)
        if is_said(words, in_prose(name))
    ]

    assert named == [], f"{words!r} is gone; say: {GONE_FROM_NAMES[words]}"


def test_a_word_of_the_glossary_names_one_class():
    terms = re.findall(r"^([a-z].*)\n:   ", GLOSSARY.read_text(), re.MULTILINE)
    homes = defaultdict(list)
    for source in SOURCES:
        for kind, name in named_in(source):
            if kind == "class" and (word := in_prose(name).strip()) in terms:
                homes[word].append(str(source.relative_to(PACKAGE)))

    assert len(terms) > 30
    assert len(homes) > 10
    assert {word: found for word, found in homes.items() if len(found) > 1}.keys() <= ON_BOTH_SIDES


@pytest.mark.parametrize(
    "text",
    [
        "its bookmarks are",
        "class _BookmarkStore:",
        "def read_bookmark(self):",
        "MOST_BOOKMARKS = 3",
        "# It is in\n    # work",
    ],
)
def test_a_word_is_found_in_prose_and_in_names(text):
    assert any(is_said(words, in_prose(text)) for words in GONE)


@pytest.mark.parametrize("text", ["computed in worker processes", "bookmarked", "in workers"])
def test_another_word_that_begins_alike_is_not(text):
    assert not any(is_said(words, in_prose(text)) for words in GONE)
