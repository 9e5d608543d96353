"""The scripts of the client are checked as strict TypeScript, from their JSDoc, and stay small."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests import npm
from tests.running import ROOT

WEB = ROOT / "service" / "web"
CLIENT = WEB / "client"
MOST_BYTES = 150_000
OPTIONS = {
    "target": "es2023",
    "lib": ["es2024", "dom", "dom.iterable", "dom.asynciterable"],
    "module": "es2022",
    "moduleResolution": "bundler",
    "allowJs": True,
    "checkJs": True,
    "strict": True,
    "noEmit": True,
    "noUncheckedIndexedAccess": True,
    "noImplicitReturns": False,
    "types": [],
}


def tsc(folder: Path, scripts: Path) -> subprocess.CompletedProcess[str]:
    """Check every script of `scripts`."""
    project = folder / "tsconfig.json"
    project.write_text(json.dumps({"compilerOptions": OPTIONS, "include": [f"{scripts}/*.js"]}))
    command = ["node", str(npm.installed() / "node_modules" / "typescript" / "bin" / "tsc"), "--project", str(project)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110)


def test_the_client_is_sound_as_strict_typescript(tmp_path: Path) -> None:
    checked = tsc(tmp_path, CLIENT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_check_sees_a_wrong_type(tmp_path: Path) -> None:
    wrong = tmp_path / "scripts"
    wrong.mkdir()
    (wrong / "wrong.js").write_text("/** @param {string} text */\nexport const twice = text => text * 2\n")
    checked = tsc(tmp_path, wrong)
    assert checked.returncode != 0
    assert "wrong.js" in checked.stdout


def test_all_scripts_of_the_client_together_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in CLIENT.glob("*.js")}
    assert len(sizes) > 10
    types = sizes.pop("types.js")
    assert "from './types.js'" not in "".join(path.read_text() for path in CLIENT.glob("*.js")), "nothing loads it"
    print(f"{sum(sizes.values())} bytes of script, and {types} of types that no page loads")
    assert sum(sizes.values()) < MOST_BYTES, sizes
