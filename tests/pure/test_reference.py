"""The reference page says what the docstrings say, and all of it."""

import re

import tb_browser
from dev.console import ROOT
from dev.reference import CHAPTERS, PAGE, page


def test_the_reference_is_up_to_date() -> None:
    """`.venv/bin/python -m dev.reference` was run after the last change of a docstring."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_public_name_is_in_the_reference() -> None:
    """Each name that can be imported has its entry, once."""
    entries = re.findall(r"^### `(\w+)`$", page(), flags=re.MULTILINE)
    assert sorted(entries) == sorted([*tb_browser.__all__, "publish"])
    assert all(hasattr(tb_browser, name) for names in CHAPTERS.values() for name in names)


def test_every_python_name_beside_a_typescript_one_is_there() -> None:
    """What typescript.md names in Python is named in the reference too."""
    reference = PAGE.read_text(encoding="utf-8")
    table = (ROOT / "docs" / "typescript.md").read_text(encoding="utf-8")
    python = [row.split("|")[2] for row in table.splitlines() if row.startswith("| `")]
    names = {name for cell in python for name in re.findall(r"[a-z]+(?:_[a-z]+)+", cell)}
    assert len(names) > 20
    assert not {name for name in names if name not in reference}
