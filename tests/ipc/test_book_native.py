"""The C side by itself: the example reader with book.h alone, and the engine under sanitizers."""

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from ipc.books import BookReason, BookRegion, BookSpec, BookState, RegionOwner, create_region
from tests.ipc.book_reference import what

ROOT = Path(__file__).parents[2]
CC = shutil.which("gcc") or shutil.which("cc") or shutil.which("clang")
pytestmark = pytest.mark.skipif(CC is None, reason="no C compiler on this machine")
LONG_NS = 3_600_000_000_000


def compile_c(source: str, out: Path, *flags: str) -> Path:
    done = subprocess.run(
        [str(CC), "-Wall", "-Wextra", "-Werror", *flags, str(ROOT / source), "-o", str(out)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("c")
    shutil.copy(ROOT / "ipc" / "book.h", folder)  # alone: nothing else of the project is in the include path
    return compile_c("examples/book_reader.c", folder / "book_reader", "-O2", f"-I{folder}")


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[RegionOwner]:
    made = create_region(tmp_path / "books", [BookSpec("V", "A-B", 1, 3, 2, 60)], heartbeat_limit_ns=LONG_NS)
    yield made
    made.close()


def run(reader: Path, *args: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([str(reader), *args], capture_output=True, text=True, check=False, timeout=20)


def sides() -> tuple[bytes, bytes]:
    return struct.pack("<4q", 1005, 2000, 1004, 7), struct.pack("<2q", 1010, 1)


@pytest.mark.parametrize("standard", ["-std=c11", "-std=gnu17"])
def test_the_header_compiles_by_itself_without_a_warning(tmp_path: Path, standard: str) -> None:
    compile_c("examples/book_reader.c", tmp_path / "reader", standard, "-Wpedantic", "-O2", "-Iipc")


def test_a_c_reader_prints_state_and_top(reader: Path, owner: RegionOwner) -> None:
    owner.book("V", "A-B").replace(*sides(), last_seq=42, recv_ns=7)
    done = run(reader, str(owner.path), "V", "A-B")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout
        == "V A-B LIVE - since_ns=7 last_seq=42 messages=1\n 2.000 100.5 | 101.0 0.001\n 0.007 100.4 | 0.0 0.000\n"
    )


def test_a_c_reader_says_stale_and_why(reader: Path, owner: RegionOwner) -> None:
    book = owner.book("V", "A-B")
    book.replace(*sides())
    book.set_status(BookState.STALE, BookReason.CHECKSUM, 9)
    done = run(reader, str(owner.path), "V", "A-B", "--levels", "1")
    assert done.returncode == 1
    assert done.stdout.startswith("V A-B STALE CHECKSUM since_ns=9 ")


def test_a_c_reader_names_bad_files_books_and_arguments(reader: Path, owner: RegionOwner, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(b"x" * 4096)
    for args, said in (
        ((str(tmp_path / "bad"), "V", "A-B"), "magic"),
        ((str(tmp_path / "none"), "V", "A-B"), "none"),
        ((str(owner.path), "V", "C-D"), "C-D"),
        ((str(owner.path), "V", "A-B", "--levels", "51"), "--levels"),
        ((), "usage"),
    ):
        done = run(reader, *args)
        assert done.returncode == 2
        assert said in done.stderr


def test_a_watching_c_reader_follows_a_replaced_region(reader: Path, owner: RegionOwner) -> None:
    owner.book("V", "A-B").replace(*sides(), last_seq=1)
    p = subprocess.Popen([str(reader), str(owner.path), "V", "A-B", "--watch"], stdout=subprocess.PIPE, text=True)
    try:
        assert p.stdout is not None
        assert "LIVE" in p.stdout.readline()
        owner.close()
        while "REGION_RETIRED" not in (line := p.stdout.readline()):
            assert line
        second = create_region(owner.path, owner.specs, heartbeat_limit_ns=LONG_NS)
        second.book("V", "A-B").replace(*sides(), last_seq=2)
        while "LIVE - since_ns=0 last_seq=2" not in (line := p.stdout.readline()):
            assert line
        second.close()
    finally:
        p.kill()
        p.communicate()


def test_c_and_python_agree_on_the_numbers_of_states_and_reasons(owner: RegionOwner) -> None:
    header = (ROOT / "ipc" / "book.h").read_text()
    block = header[header.index("enum qd_reason {") : header.index("QD_N_REASONS")]
    names = [
        line.split(",")[0].split("=")[0].strip().removeprefix("QD_") for line in block.splitlines()[1:] if "QD_" in line
    ]
    assert [n.replace("CROSSING", "CROSSED") for n in names] == [r.name for r in BookReason]
    book = owner.book("V", "A-B")
    reader = BookRegion.open(owner.path).book("V", "A-B")
    book.replace(*sides())
    book.apply(what(0), 1010, 1)
    assert reader.status()[:2] == (BookState.CROSSED, BookReason.CROSSED)


def test_random_histories_run_clean_under_address_and_undefined_behaviour_sanitizers(tmp_path: Path) -> None:
    flags = (
        "-g",
        "-O1",
        "-fsanitize=address,undefined",
        "-fno-sanitize-recover=all",
        "-Wno-unused-function",
        "-I.",
        "-lz",
    )
    program = tmp_path / "book_history"
    done = subprocess.run(
        [str(CC), "-Wall", "-Wextra", "-Werror", "tests/fuzz/book_history.c", "-o", str(program), *flags],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    if "cannot find" in done.stderr and "asan" in done.stderr:
        pytest.skip("the compiler has no address sanitizer")
    assert done.returncode == 0, done.stderr
    for seed in range(1, 5):
        ran = subprocess.run([str(program), str(seed), "6000"], capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 0, ran.stderr
        assert ran.stdout.count("messages") == 2
