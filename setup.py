"""Native parts of the build; everything else is in pyproject.toml."""

import os
from glob import glob

from Cython.Build import cythonize
from setuptools import Extension, setup

ARGS = ["-O3", "-fno-strict-aliasing", "-Wall", "-Wextra", "-Wno-unused-function", "-Wno-unused-parameter"]


def extension(name: str, sources: list[str], depends: list[str], libraries: list[str]) -> Extension:
    return Extension(name, sources, depends=depends, libraries=libraries, extra_compile_args=ARGS, include_dirs=["."])


CODEC = ["fix/_codec.pyx", *sorted(glob("fix/codec*.c"))]
DICTIONARY = ["fix/_dictionary.pyx", "fix/dictionary.c", "fix/dictionary_format.c", "fix/codec.c"]
EXTENSIONS = [
    extension("base._segments", ["base/_segments.pyx"], ["base/_segments.pxd", "base/crc32.h"], []),
    extension("fix._codec", CODEC, [*glob("fix/codec*.h"), "base/md_record.h"], []),
    extension("fix._dictionary", DICTIONARY, ["fix/dictionary.h", "fix/codec.h", "fix/codec_scan.h"], []),
    extension("fix._store", ["fix/_store.pyx"], ["base/_segments.pxd"], []),
    extension("fix._fixlog", ["fix/_fixlog.pyx"], ["fix/logline.h"], []),
    extension("ipc._book", ["ipc/_book.pyx"], [*glob("ipc/book*.h"), *glob("base/*.h")], []),
    extension("ipc._bus", ["ipc/_bus.pyx"], ["ipc/_metrics.pxd"], []),
    extension("ipc._metrics", ["ipc/_metrics.pyx"], ["ipc/_metrics.pxd"], []),
    extension("ipc._words", ["ipc/_words.pyx"], ["ipc/_row_sums.pxi"], []),
]
wanted = os.environ.get("QD_BUILD", "").split()
chosen = [e for e in EXTENSIONS if not wanted or e.name in wanted]
setup(ext_modules=cythonize(chosen, language_level=3))
