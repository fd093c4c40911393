"""The house itself: locks, the tree, what must not be in it, and the changelog."""

import re
import shutil
import subprocess
import tomllib
from functools import cache
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
RUN, DEV = "requirements/run.txt", "requirements/dev.txt"

TOP_LEVEL = {
    ".ci", ".dlt", ".dockerignore", ".github", ".gitignore", "CHANGELOG.md", "CONTRIBUTING.md", "Dockerfile",
    "Makefile", "README.md", "benchmarks", "cli.py", "destinations.toml", "docs", "ingest_api", "models",
    "pipelines", "pyproject.toml", "requirements", "sandbox", "sources", "specs", "tests",
}  # fmt: skip

MACHINE = re.compile(
    r"(?<![\w.~-])/(?:root|work|farm|home/\w+|Users/\w+)/"
    r"|\bpypi\.org|pythonhosted\.org|registry\.npmjs"
    r"|--(?:extra-)?index[-]url|--find[-]links|--trusted[-]host|(?:PIP|UV)_(?:EXTRA_|DEFAULT_)?INDEX",
    re.IGNORECASE,
)


@cache
def lock(name: str) -> dict[str, set[Requirement]]:
    """A lock's pins by package; one package has several where the Pythons differ."""
    pins: dict[str, set[Requirement]] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        if not line.startswith(" "):
            pin = Requirement(line.removesuffix("\\"))
            pins.setdefault(canonicalize_name(pin.name), set()).add(pin)
    return pins


def bounds() -> list[tuple[str, str]]:
    """Every requirement of pyproject.toml with each lock that must hold it."""
    project = PYPROJECT["project"]
    everywhere = [*PYPROJECT["build-system"]["requires"], *project["dependencies"]]
    return [(file, text) for file in (RUN, DEV) for text in everywhere] + [
        (DEV, text) for text in project["optional-dependencies"]["dev"]
    ]


@pytest.fixture(scope="session")
def files() -> list[str]:
    """What git holds or would take, relative to the root."""
    if not shutil.which("git"):
        pytest.skip("needs git")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    git = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if git.returncode:
        pytest.skip(f"not a git checkout of this user: {git.stderr.strip()}")
    return [name for name in git.stdout.split("\0") if (ROOT / name).is_file()]


@pytest.mark.parametrize("file", [RUN, DEV])
def test_a_lock_is_versions_and_hashes_and_nothing_else(file: str) -> None:
    pin = r"[a-z0-9-]+==[\w.!+]+(?: ; [^\\\n]+)? \\\n"
    hashes = r"(?:    --hash=sha256:[0-9a-f]{64} \\\n)*    --hash=sha256:[0-9a-f]{64}\n"
    entry = re.compile(pin + hashes)
    rest = entry.sub("", (ROOT / file).read_text(encoding="utf-8"))
    assert rest == ""


@pytest.mark.parametrize(("file", "text"), bounds())
def test_a_lock_keeps_the_bounds_of_pyproject(file: str, text: str) -> None:
    wanted = Requirement(text)
    pins = lock(file).get(canonicalize_name(wanted.name), set())
    versions = [str(pin.specifier).removeprefix("==") for pin in pins]
    assert any(pin.marker is None or pin.marker.evaluate() for pin in pins)
    assert list(wanted.specifier.filter(versions)) == versions


def test_the_development_lock_holds_the_runtime_lock() -> None:
    """The same versions; what only development needs may want one on more platforms."""
    assert {name: versions(DEV, name) for name in lock(RUN)} == {name: versions(RUN, name) for name in lock(RUN)}


def versions(file: str, name: str) -> set[str]:
    return {str(pin.specifier) for pin in lock(file).get(name, ())}


def test_the_top_level_is_what_the_design_allows(files: list[str]) -> None:
    assert {Path(name).parts[0] for name in files} - TOP_LEVEL == set()


def test_no_secrets_file_is_in_the_tree(files: list[str]) -> None:
    assert [name for name in files if name.endswith("secrets.toml")] == [".dlt/example.secrets.toml"]


def test_no_file_names_a_machine_or_a_registry(files: list[str]) -> None:
    found = [
        f"{name}:{number}: {match.group()}"
        for name in files
        for number, line in enumerate((ROOT / name).read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if (match := MACHINE.search(line))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("parts", "names_one"),
    [
        (["", "root", "notes.txt"], True),
        (["see `", "home", "ada", "etl`"], True),
        (["file:", "", "", "Users", "ada", "etl"], True),
        (["https:", "", ".".join(["pypi", "org"]), "simple"], True),
        (["pip install --extra-" + "index-" + "url x"], True),
        (["https:", "", "example.org", "home", "page", ""], False),
        (["lake", "root", "part"], False),
        (["", "rooted", ""], False),
    ],
)
def test_machines_and_registries_are_told_from_other_paths(parts: list[str], names_one: bool) -> None:
    assert bool(MACHINE.search("/".join(parts))) is names_one


def test_the_changelog_starts_with_the_version_of_the_project() -> None:
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest.group(1) == PYPROJECT["project"]["version"]
