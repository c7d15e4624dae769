"""Compiles one kernel: `python -m sae.dictionaries.kernel_compiler`, JSON on the standard input, object code out."""

import importlib.util
import json
import sys
from types import FunctionType
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import types

from sae.dictionaries.compiled import Kernel
from sae.dictionaries.machine_code import ENTRY

_REORDERED = {"contract", "reassoc", "nsz"}
"""Sums may be taken in the order that fills vector registers, always the same. NaN and infinity stay what they are."""
_LIBRARY = ("mem", "sqrt")
"""Beginnings of the names of what a kernel may call in the C library."""


def main() -> None:
    """Compile what is asked for."""
    wanted = json.load(sys.stdin)
    spec = importlib.util.spec_from_file_location(wanted["module"], wanted["source"])
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kernel = getattr(module, wanted["function"])
    sys.stdout.buffer.write(object_code(kernel, tuple(_type(one) for one in wanted["specs"])))


def object_code(kernel: Kernel, argument_types: tuple[Any, ...]) -> bytes:
    """An object file for this processor, whose one visible function is the kernel. Raises RuntimeError where the
    kernel needs more than arithmetic and its arguments.
    """
    dispatcher = _dispatcher(kernel)
    dispatcher.compile(argument_types)
    name = dispatcher.overloads[argument_types].fndesc.llvm_func_name
    module = llvm.parse_assembly(dispatcher.inspect_llvm(argument_types))
    for function in module.functions:
        if function.name == name:
            function.name = ENTRY
        elif not function.is_declaration:
            function.linkage = "internal"
    machine = _machine()
    passes = llvm.create_new_module_pass_manager()
    passes.add_global_dead_code_eliminate_pass()
    passes.run(module, llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options()))
    needed = {function.name for function in module.functions if function.is_declaration}
    if foreign := {one for one in needed if not one.startswith(("llvm.", *_LIBRARY))}:
        raise RuntimeError(f"{kernel.function.__name__} must not allocate, raise or call out: it needs {foreign}")
    return machine.emit_object(module)


def _dispatcher(kernel: Kernel) -> Any:
    """The kernel as numba knows functions, and so those that it calls."""
    function = kernel.function
    called = {name: value for name, value in function.__globals__.items() if name in function.__code__.co_names}
    known = {name: _dispatcher(value) for name, value in called.items() if isinstance(value, Kernel)}
    own = FunctionType(function.__code__, function.__globals__ | known, function.__name__)
    # _nrt: without what counts references to arrays. numba then refuses a kernel that makes one.
    options: dict[str, Any] = {"nogil": True, "fastmath": _REORDERED, "error_model": "numpy", "_nrt": False}
    return numba.njit(**options)(own)


def _machine() -> Any:
    """As numba sets up its own for the running processor."""
    triple = llvm.Target.from_default_triple()
    return triple.create_target_machine(
        cpu=llvm.get_host_cpu_name(),
        features=llvm.get_host_cpu_features().flatten(),
        opt=3,
        reloc="static" if triple.name.startswith("x86") else "default",
        codemodel="jitdefault",
        jit=True,
    )


def _type(spec: Any) -> Any:
    if isinstance(spec, list):
        return types.BaseTuple.from_types([_type(one) for one in spec])
    dtype, _, array = spec.partition(" ")
    kind = getattr(types, dtype)
    return types.Array(kind, int(array[:-1]), array[-1]) if array else kind


if __name__ == "__main__":
    main()
