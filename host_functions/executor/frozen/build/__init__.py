"""Making the Python VM: CPython as one core Wasm module that any Substrate-style executor can run.

`build_vm` runs componentize-py (extra ``build``), which puts CPython and the guest's own Python files into a
component without WASI, and takes a snapshot of it after start-up; then it joins the component's core modules and
our adapter into a single module. Nothing else is needed: no node, no binaryen, no C compiler.
"""

from host_functions.executor.frozen.build.vm import BuildError as BuildError
from host_functions.executor.frozen.build.vm import build_vm as build_vm
