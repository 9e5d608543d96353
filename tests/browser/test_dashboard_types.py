"""The page's own scripts are checked as strict TypeScript too, and say nothing as markup."""

from __future__ import annotations

import re
from pathlib import Path

from tests.browser.test_client_types import WEB, tsc

SINKS = re.compile(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|srcdoc|eval)\b")


def test_the_page_is_sound_as_strict_typescript(tmp_path: Path) -> None:
    for folder in (WEB, WEB / "views"):
        checked = tsc(tmp_path, folder)
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_no_script_has_a_way_to_make_markup_of_text() -> None:
    found = [path.name for path in WEB.rglob("*.js") if SINKS.search(path.read_text())]
    assert found == []


def test_no_page_has_script_or_style_within() -> None:
    page = (WEB / "index.html").read_text()
    assert re.search(r"<script(?! type=\"module\" src=)|<style|\sstyle=|\son\w+=", page) is None
