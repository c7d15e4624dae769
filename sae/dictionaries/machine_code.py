"""Machine code of kernels: compiled by numba in a process of its own where it is not kept yet, loaded by LLVM alone.

A training that imports numba and lets it load its own cache holds 130 MiB more, one that loads these files 50.
"""

import contextlib
import ctypes
import hashlib
import inspect
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TypeAlias

import llvmlite.binding as llvm

Spec: TypeAlias = "str | tuple[Spec, ...]"
"""The kind of an argument: a dtype, for arrays with dimensions and layout after it (`float32 2C`), or a tuple."""

ENTRY = "kernel"
"""The function's name in an object file."""
_COMPILER = Path(__file__).with_name("kernel_compiler.py")
_DIGEST_BYTES = 32
_C_TYPES = {
    **{f"int{bits}": getattr(ctypes, f"c_int{bits}") for bits in (8, 16, 32, 64)},
    "float32": ctypes.c_float,
    "float64": ctypes.c_double,
}


class Native:
    """A function in memory that follows numba's calling convention."""

    def __init__(self, object_code: bytes, specs: Sequence[Spec]):
        llvm.initialize_native_target()
        llvm.initialize_native_asmprinter()
        machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
        self._engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
        self._engine.add_object_file(llvm.ObjectFileRef.from_data(object_code))
        self._engine.finalize_object()
        kinds = [kind for spec in specs for kind in _c_types(spec)]
        prototype = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, *kinds)
        self._function = prototype(self._engine.get_function_address(ENTRY))

    def call(self, values: Sequence[int | float]) -> None:
        """Run it on the fields of its arguments, one after the other."""
        nothing, error = ctypes.c_void_p(), ctypes.c_void_p()
        status = self._function(ctypes.addressof(nothing), ctypes.addressof(error), *values)
        assert status in (0, -2), "a kernel raised: it must not be able to"


def load(function: Callable[..., object], specs: Sequence[Spec]) -> Native:
    """The function for arguments of these kinds; compiled now where its machine code is not kept."""
    source = Path(inspect.getfile(function)).resolve()
    name = f"{source.stem}.{function.__name__}-{_key(source, function.__name__, specs)}.o"
    folders = list(_folders(source))
    for folder in folders:
        with contextlib.suppress(OSError):
            kept = (folder / name).read_bytes()
            digest, object_code = kept[:_DIGEST_BYTES], kept[_DIGEST_BYTES:]
            if hashlib.sha256(object_code).digest() == digest:
                return Native(object_code, specs)
    object_code = _compile(function.__module__, source, function.__name__, specs)
    for folder in folders:
        with contextlib.suppress(OSError):
            _keep(object_code, folder, name)
            break
    return Native(object_code, specs)


def _key(source: Path, function: str, specs: Sequence[Spec]) -> str:
    """Hash of all that the machine code depends on."""
    compilers = [_COMPILER.read_text(encoding="utf-8"), version("numba"), version("llvmlite")]
    processor = [llvm.get_process_triple(), llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()]
    made_from = [source.read_text(encoding="utf-8"), function, specs, compilers, processor]
    return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:24]


def _folders(source: Path) -> Iterator[Path]:
    """Where machine code is kept: beside the source, and for those who may not write there in their cache."""
    yield source.parent / "__pycache__"
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    if os.path.isabs(cache):  # A user without a home has none.
        yield Path(cache) / "feature-atlas"


def _compile(module: str, source: Path, function: str, specs: Sequence[Spec]) -> bytes:
    wanted = {"module": module, "source": str(source), "function": function, "specs": specs}
    done = subprocess.run(
        [sys.executable, "-m", "sae.dictionaries.kernel_compiler"],
        input=json.dumps(wanted).encode(),
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    if done.returncode:
        raise RuntimeError(f"{source.name}: {function} cannot be compiled.\n{done.stderr.decode(errors='replace')}")
    return done.stdout


def _keep(object_code: bytes, folder: Path, name: str) -> None:
    """Write it, with its hash before it, under a temporary name first. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(hashlib.sha256(object_code).digest() + object_code)
        os.replace(temporary, folder / name)
    except OSError:
        Path(temporary).unlink()
        raise


def _c_types(spec: Spec) -> Iterator[type]:
    """The C types of an argument's fields, in numba's calling convention."""
    if isinstance(spec, tuple):
        for one in spec:
            yield from _c_types(one)
        return
    dtype, _, array = spec.partition(" ")
    if not array:
        yield _C_TYPES[dtype]
        return
    # What owns the memory (twice), number and size of the elements, where they are, shape, strides.
    yield from (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p)
    yield from [ctypes.c_int64] * (2 * int(array[:-1]))
