"""Build of the extension modules; everything else stands in pyproject.toml."""

import os
import platform
import sys
from concurrent.futures import ThreadPoolExecutor
from glob import glob

import numpy
from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = "src/fastnn/native"
# Nothing here raises through C: no tables for the unwinding of the stack.
STANDARD = [
    *("-std=gnu11", "-fno-math-errno", "-fno-trapping-math", "-g0"),
    "-fno-asynchronous-unwind-tables",
]

# For modules that users call: to align branches and functions takes 30 kB and gains nothing. Clang
# never aligns branches, and would say so.
FOR_CALLS = [
    *("-O2", "-fno-align-jumps", "-fno-align-labels", "-fno-align-functions"),
    *("-Wno-ignored-optimization-argument", *STANDARD),
]
# The kernels unroll themselves where that helps; -O3 would add a third to their size and no speed.
# Loops begin where that is good for them.
FOR_SPEED = [*FOR_CALLS, "-ftree-vectorize"]
# For modules that call kernels and spend next to no time themselves. They call what others have by
# its address and not by way of a stub: some 1 kB less for each.
FOR_SIZE = ["-Os", *STANDARD, "-fno-plt"]

# Cython drops `const` here and there. GCC and Clang have different names for it, and Clang warns of
# those that it does not know.
WITHOUT_WARNINGS = [
    "-Wno-unknown-warning-option",
    "-Wno-discarded-qualifiers",
    "-Wno-incompatible-pointer-types-discards-qualifiers",
]

# What the dynamic linker needs stays. Code and constants share pages: 4 kB less for each module.
SMALL = ["-Wl,-s", "-Wl,-z,noseparate-code"] if sys.platform == "linux" else []

# The kernels are compiled once for each of these; which one runs is decided at import. Few x86
# processors still need the baseline, whose loops do without 3 kB of alignment.
INSTRUCTION_SETS = {"baseline": []}
if platform.machine() in ("x86_64", "AMD64") and sys.maxsize > 2**32:
    INSTRUCTION_SETS["baseline"] = ["-fno-align-loops"]
    INSTRUCTION_SETS["avx2"] = ["-mavx2", "-mfma"]
    INSTRUCTION_SETS["avx512"] = [
        *("-mavx512f", "-mavx512dq", "-mavx512bw", "-mavx512vl", "-mfma"),
        "-mprefer-vector-width=512",
    ]

# Compilers at a time; one takes up to 350 MB. With two 43 s in place of 69, on two cores.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WORKERS = min(CORES, 4)


class BuildKernels(build_ext):
    """Compile kernels.c once per instruction set into the extension that chooses among them."""

    def build_extension(self, ext):
        if ext.name == "fastnn.native.dispatch":
            with ThreadPoolExecutor(WORKERS) as pool:
                for objects in pool.map(self.compile_kernels, INSTRUCTION_SETS):
                    ext.extra_objects += objects
        super().build_extension(ext)

    def compile_kernels(self, isa):
        return self.compiler.compile(
            [f"{NATIVE}/c/kernels.c"],
            output_dir=f"{self.build_temp}/{isa}",
            macros=[("FASTNN_ISA", isa)],
            extra_postargs=[*FOR_SPEED, *INSTRUCTION_SETS[isa]],
            depends=glob(f"{NATIVE}/c/*"),
        )


def extension(name, *sources, optimise=FOR_CALLS):
    return Extension(
        f"fastnn.native.{name}",
        [f"{NATIVE}/{name}.pyx", *sources],
        extra_compile_args=[*optimise, "-pthread", *WITHOUT_WARNINGS],
        extra_link_args=["-pthread", *SMALL],
        include_dirs=[numpy.get_include()],
        define_macros=[("NPY_NO_DEPRECATED_API", "NPY_1_7_API_VERSION")],
        depends=glob(f"{NATIVE}/c/*"),
    )


setup(
    cmdclass={"build_ext": BuildKernels},
    options={"build_ext": {"parallel": WORKERS}},
    ext_modules=cythonize(
        [
            extension(
                "dispatch",
                f"{NATIVE}/c/dispatch.c",
                f"{NATIVE}/c/cache.c",
                f"{NATIVE}/c/scratch.c",
                optimise=FOR_SIZE,
            ),
            extension("team", f"{NATIVE}/c/team.c", f"{NATIVE}/c/shares.c", optimise=FOR_SIZE),
            extension("orthogonal", optimise=FOR_SIZE),
            extension("kernels"),
            extension("ops", optimise=FOR_SIZE),
            extension("passes", optimise=FOR_SIZE),
            extension("trainer", optimise=FOR_SIZE),
            extension("engine"),
        ],
        compiler_directives={
            "language_level": 3,
            "binding": True,
            "boundscheck": False,
            "initializedcheck": False,
            "cdivision": True,
            "freethreading_compatible": False,
        },
    ),
)
