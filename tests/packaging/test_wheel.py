"""The distribution: everything that is needed to import, type-check and read books from C is inside the wheel."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

pytestmark = [pytest.mark.stress, pytest.mark.timeout(600)]
ROOT = Path(__file__).resolve().parents[2]
PACKAGES = {"base", "bench", "fix", "ipc", "procs", "quarterdeck", "risk", "sim", "venues"}
NATIVE = ["fix/_codec", "ipc/_book", "ipc/_bus", "ipc/_words"]
SOURCES = (
    "base", "bench", "fix", "ipc", "procs", "quarterdeck", "risk", "sim", "venues", "setup.py", "pyproject.toml",
    "MANIFEST.in", "LICENSE", "README.md", "CHANGELOG.md", "config", "supervisord.conf", "docs", "examples", "Makefile",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, so that nothing of a working tree helps or is changed.

    Its native parts are compiled without optimising, which takes most of the time: what `make setup` builds is fast.
    """
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    compiler = tmp_path_factory.mktemp("bin") / "cc"
    compiler.write_text(f'#!/bin/sh\nexec {sysconfig.get_config_var("CC")} "$@" -O0 -w\n')
    compiler.chmod(0o755)
    ignore = shutil.ignore_patterns("__pycache__", "*.so", "_codec.c", "_book.c", "_bus.c", "_words.c")
    for name in SOURCES:
        path = ROOT / name
        shutil.copytree(path, source / name, ignore=ignore) if path.is_dir() else shutil.copy(path, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--disable-pip-version-check", "--no-build-isolation"]
    done = subprocess.run(
        [*command, "--no-deps", "-w", str(out), "."], cwd=source, capture_output=True, text=True, check=False,
        env={**os.environ, "CC": str(compiler)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    (found,) = out.glob("quarterdeck-*.whl")
    return found


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def test_native_parts_and_their_stubs_are_inside(names: set[str]) -> None:
    for module in NATIVE:
        assert [n for n in names if n.startswith(f"{module}.cpython-") and n.endswith(".so")], module
        assert f"{module}.pyi" in names


def test_every_module_of_the_tree_is_inside(names: set[str]) -> None:
    tree = {p.relative_to(ROOT).as_posix() for package in PACKAGES for p in (ROOT / package).rglob("*.py")}
    assert sorted(tree - names) == []


def test_types_are_promised_by_every_package(names: set[str]) -> None:
    assert {f"{p}/py.typed" for p in PACKAGES if (ROOT / p / "py.typed").exists()} <= names
    assert {"quarterdeck/py.typed", "ipc/py.typed", "base/py.typed"} <= names


def test_a_reader_in_c_finds_the_contract(names: set[str]) -> None:
    assert "ipc/book.h" in names


def test_data_that_the_code_reads_is_inside(names: set[str]) -> None:
    data = {p.relative_to(ROOT).as_posix() for p in (ROOT / "venues").glob("*/*.toml")}
    assert len(data) > 15
    assert data <= names
    examples = {f"quarterdeck/examples/{p.name}" for p in (ROOT / "config" / "examples").glob("*.toml")}
    assert len(examples) > 10  # `qd init` writes a configuration from them
    assert examples <= names


def test_neither_tests_nor_state_are_inside(names: set[str]) -> None:
    tops = {n.split("/")[0] for n in names}
    assert {t for t in tops if not t.endswith(".dist-info")} == PACKAGES
    assert not [n for n in names if n.endswith((".c", ".pyx", ".pxi"))]


def test_the_command_and_the_licence_are_declared(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        info = next(n for n in file.namelist() if n.endswith(".dist-info/METADATA")).rpartition("/")[0]
        assert "qd = quarterdeck.cli:main" in file.read(f"{info}/entry_points.txt").decode()
        metadata = file.read(f"{info}/METADATA").decode()
        assert f"{info}/licenses/LICENSE" in file.namelist()
    assert "License-Expression: Apache-2.0" in metadata
    needs = {line.partition(": ")[2].partition(">")[0] for line in metadata.splitlines() if "Requires-Dist" in line}
    assert {"pyzmq", "msgspec", "simplefix", "supervisor", "psutil", "h11", "cryptography", "rich"} <= needs


def test_installed_elsewhere_the_command_runs_and_the_native_parts_load(wheel: Path, tmp_path: Path) -> None:
    """In an environment of its own, which borrows this one's dependencies but not this tree."""
    venv.create(tmp_path / "env", symlinks=True, with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    (site,) = (tmp_path / "env" / "lib").glob("python*/site-packages")
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
    subprocess.run([*install, "--disable-pip-version-check", str(wheel)], check=True, capture_output=True)
    here = next(Path(p) for p in sys.path if p.endswith("site-packages"))
    for path in here.iterdir():
        if path.name != "quarterdeck.pth" and not (site / path.name).exists():
            (site / path.name).symlink_to(path)
    code = (
        "import fix._codec, ipc._book, ipc._bus, ipc._words, quarterdeck as qd; print(qd.__file__, fix._codec.__file__)"
    )
    done = subprocess.run([python, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(p.startswith(str(site)) for p in done.stdout.split())
    done = subprocess.run([tmp_path / "env" / "bin" / "qd", "check", str(ROOT / "config" / "desk.toml")], cwd=tmp_path,
                          capture_output=True, text=True, check=False)  # fmt: skip
    assert done.stdout.splitlines()[-1] == "nothing wrong", done.stdout + done.stderr
