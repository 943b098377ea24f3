"""The reference names everything that is public, and every page is in the menu."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import seqloader

REPOSITORY = Path(__file__).parent.parent.parent
DOCS = REPOSITORY / "docs"
MENU = (DOCS / "mkdocs/mkdocs.yml").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [*seqloader.__all__, "empty", "stack", "zeros"])
def test_reference_has_every_public_name(name):
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.glob("reference/*.md"))

    assert re.search(rf"^::: seqloader\.{name}$", pages, re.MULTILINE)


def test_every_page_is_in_the_menu():
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}

    assert {page for page in pages if f": {page}\n" not in MENU} == set()


def test_what_the_readme_points_to_is_there():
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)\)", readme) + re.findall(r"`(benchmarks/\S+)`", readme)

    assert [target for target in targets if not (REPOSITORY / target).exists()] == []
    assert len(targets) > 10


def test_heads_of_source_files_that_pages_show_are_there():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in DOCS.rglob("*.md"))
    heads = re.findall(r"<!-- head of (\S+) -->", pages)

    assert heads
    assert [head for head in heads if not (REPOSITORY / head).exists()] == []
