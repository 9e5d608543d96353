"""What can be set, called, seen and gone wrong is in the README; what belongs to one machine is nowhere."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import pytest
from starlette.routing import BaseRoute, Mount, Route

from service.api.routes import ROUTES
from service.config import Settings
from service.domain.event import EventType
from tests.running import ROOT
from workers.records import Fault

README = ROOT / "README.md"
ERRORS = {"InputError", "TooLarge", "AccessError", "StateError", "QuotaError", "Transient", "MillraceError", "problem"}
FROM_ROUTER = {"method_not_allowed"}
CODE = re.compile(r"[a-z]+(_[a-z0-9]+)*")
SOURCES = sorted(path for folder in ("service", "workers") for path in (ROOT / folder).rglob("*.py"))


def section(title: str) -> str:
    """The text below `## title` of the README."""
    text = README.read_text() if README.exists() else ""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"README.md needs a section '## {title}'"
    return found[1]


def routes(entries: list[BaseRoute], above: str = "") -> Iterator[str]:
    """`GET /v1/jobs` for every route there is."""
    for entry in entries:
        if isinstance(entry, Mount):
            yield from routes(list(entry.routes or []), above + entry.path)
        elif isinstance(entry, Route):
            yield from (f"{method} {above}{entry.path}" for method in sorted((entry.methods or set()) - {"HEAD"}))


def codes_in(path: Path) -> Iterator[str]:
    """Error and reject codes that a module says in so many words."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield from _codes_of_call(node)
        elif isinstance(node, ast.Tuple) and len(node.elts) == 3:
            first, *texts = node.elts  # (code, message, suggestion): how rejects are told
            if all(isinstance(text, ast.JoinedStr) or _text(text, " ") for text in texts):
                yield from _texts([first])


def _codes_of_call(node: ast.Call) -> Iterator[str]:
    name = getattr(node.func, "id", "") or getattr(node.func, "attr", "")
    if name in ERRORS or name == "__init__":
        yield from _texts(node.args[:2] if name == "problem" else node.args[:1])
    elif name in ("number_of", "number_in"):
        yield from (f"invalid_{text}" for text in _texts(node.args[1:2]))
    elif name == "head":
        yield from _texts([keyword.value for keyword in node.keywords if keyword.arg == "code"])


def _texts(nodes: list[ast.expr]) -> Iterator[str]:
    yield from (text for node in nodes if (text := _text(node)) and CODE.fullmatch(text))


def _text(node: ast.expr, containing: str = "") -> str:
    is_text = isinstance(node, ast.Constant) and isinstance(node.value, str) and containing in node.value
    return str(node.value) if is_text and isinstance(node, ast.Constant) else ""


CODES = sorted({code for path in SOURCES for code in codes_in(path)} | set(get_args(Fault)) | FROM_ROUTER)
VARIABLES = sorted(f"MILLRACE_{name.upper()}" for name in Settings.model_fields)


def test_the_search_for_codes_finds_one_of_each_kind() -> None:
    assert {
        "not_found",
        "invalid_limit",
        "invalid_priority",
        "internal_error",
        "too_much_memory",
        "wrong_field_count",
        "unclosed_quote",
        "poison",
    } <= set(CODES)


def first_cells(title: str) -> set[str]:
    """What stands in backticks in the first column of the section's tables."""
    cells = re.findall(r"^\|([^|]*)\|", section(title), re.MULTILINE)
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_the_settings_in_the_readme_are_those_there_are() -> None:
    assert sorted(first_cells("Settings")) == VARIABLES


def test_every_route_is_in_the_readme() -> None:
    text = section("HTTP")
    said = {" ".join(found) for found in re.findall(r"\b([A-Z]+)[`| ]+(/[\w/.{}]*)", text)}
    assert sorted(set(routes(ROUTES)) - said) == []


def test_every_error_code_is_in_the_readme() -> None:
    assert sorted(set(CODES) - first_cells("Errors")) == []


def test_every_event_is_in_the_readme() -> None:
    assert sorted({"snapshot", "reconnect", *EventType} - first_cells("Events")) == []


def blocks() -> str:
    """The README's code blocks, without prompts."""
    text = README.read_text() if README.exists() else ""
    assert text, "README.md is not there yet"
    return "\n".join(re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def test_every_make_command_in_the_readme_is_a_target() -> None:
    targets = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = re.findall(r"^(?:\$ )?make ([a-z][\w-]*)", blocks(), re.MULTILINE)
    assert said
    assert set(said) <= targets


def test_every_python_module_run_in_the_readme_exists() -> None:
    for module in re.findall(r"python3? -m ([\w.]+)", blocks()):
        assert importlib.util.find_spec(module), module


def test_every_file_that_the_readme_links_to_exists() -> None:
    text = README.read_text() if README.exists() else ""
    linked = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", text)
    assert [path for path in linked if not (ROOT / path).exists()] == []


def tracked() -> list[Path]:
    """The text files in git; this one, which has to name what it looks for, left out."""
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    paths = [ROOT / name for name in names.split("\0") if name]
    return [path for path in paths if path.is_file() and path != Path(__file__).resolve()]


def lines_with(pattern: re.Pattern[bytes]) -> list[str]:
    """Where tracked files match, as FILE:LINE."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked()
        for number, line in enumerate(path.read_bytes().split(b"\n"), start=1)
        if pattern.search(line)
    ]


def test_no_tracked_file_names_a_folder_of_one_machine() -> None:
    assert lines_with(re.compile(rb"(?<![\w.*-])/(work|root|home)/")) == []


def package_sources() -> set[str]:
    """Where pip looks on this machine, besides the public index: hosts, and folders of files."""
    pip = [sys.executable, "-m", "pip", "config", "list"]
    told = subprocess.run(pip, capture_output=True, check=True, text=True).stdout
    lines = [line for line in told.splitlines() if re.search(r"(index-url|find-links)=", line)]
    urls = [urlsplit(url) for line in lines for url in re.findall(r"[^\s'=]*/[^\s']*", line)]
    return {url.hostname or url.path for url in urls} - {"pypi.org"}


def test_no_tracked_file_names_a_package_index() -> None:
    ours = [re.escape(source.encode()) for source in sorted(package_sources())]
    assert lines_with(re.compile(b"|".join([rb"index[-_]url[ =\"':]*https?://", *ours]))) == []
