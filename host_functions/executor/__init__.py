"""Executors: how a runtime is entered. Native (a Python runtime in this process); Wasm comes beside it."""

from host_functions.executor.native import NativeRuntime as NativeRuntime
from host_functions.executor.runtime import Runtime as Runtime
