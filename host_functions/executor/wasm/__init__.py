"""The Wasm engine: real Substrate blobs, entered through the same `Runtime` protocol as Python runtimes."""

from host_functions.executor.wasm.blob import CallingStyle as CallingStyle
from host_functions.executor.wasm.blob import WasmBlob as WasmBlob
from host_functions.executor.wasm.blob import parse_blob as parse_blob
from host_functions.executor.wasm.cache import CompileCache as CompileCache
from host_functions.executor.wasm.errors import AllocatorError as AllocatorError
from host_functions.executor.wasm.errors import DeadlineExceeded as DeadlineExceeded
from host_functions.executor.wasm.errors import InvalidCode as InvalidCode
from host_functions.executor.wasm.errors import OutOfFuel as OutOfFuel
from host_functions.executor.wasm.errors import OutOfMemory as OutOfMemory
from host_functions.executor.wasm.errors import StackExhausted as StackExhausted
from host_functions.executor.wasm.errors import Trap as Trap
from host_functions.executor.wasm.heap import Dynamic as Dynamic
from host_functions.executor.wasm.heap import Static as Static
from host_functions.executor.wasm.runtime import WasmRuntime as WasmRuntime
from host_functions.executor.wasm.runtime import embedded_version_reader as embedded_version_reader
from host_functions.executor.wasm.runtime import version_reader as version_reader
from host_functions.executor.wasm.version import embedded_version as embedded_version
