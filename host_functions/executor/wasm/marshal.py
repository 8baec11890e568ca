"""From the declaration of a host function to what its Wasm import does.

A *binding* takes the execution and the raw arguments as unsigned numbers, decodes them from the guest's memory
by the `Wire` marks of the declaration, asks the execution's context, and encodes the answer into a buffer: in
the legacy style one that it allocates on the guest's heap, in that of [RFC-145] one that the guest passed. The
executor itself answers the functions that concern the instance: the allocator, the input and the panic
handler; it also listens to the log, because that is where panics announce themselves.

Follows ``sp_runtime_interface::pass_by`` [sp-runtime-interface]: bytes after a SCALE-encoded argument are
ignored, and an argument that does not decode stops the guest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from host_functions.abi import Into, Wire, WireForm, wasm_signature, wire_of
from host_functions.declare import HostFunction, registry
from host_functions.errors import HostError, MissingHostFunction
from host_functions.executor.wasm.blob import FunctionImport, FunctionType
from host_functions.executor.wasm.errors import InvalidCode
from host_functions.executor.wasm.execution import Execution, text
from host_functions.executor.wasm.into import Encoder, into_encoder
from host_functions.executor.wasm.memory import GuestFault, GuestMemory
from host_functions.executor.wasm.not_served import reason_not_served
from host_functions.executor.wasm.wire_codecs import WIRE_CODECS
from host_functions.interfaces import allocator, guest_allocates, logging, panic_handler
from runtime.primitives.scale import ScaleError

__all__ = ["Binding", "binding_of"]

Binding = Callable[..., int | None]
"""``(execution, *raw arguments) -> raw result``; all numbers unsigned."""

Decoder = Callable[[GuestMemory, int], Any]

LOW: Final = 0xFFFF_FFFF
ABSENT: Final = 0xFFFF_FFFF_FFFF_FFFF
"""-1 as an ``i64``."""
LEVEL_ERROR: Final = 0


def binding_of(wanted: FunctionImport) -> Binding:
    """What the import does. Raises `InvalidCode` if the blob expects another signature than is declared.

    A function that nobody declares becomes a stub that fails when called: blobs import more than they use.
    """
    function = registry().get(wanted.name)
    if function is None:
        return _missing(wanted.name)
    declared = FunctionType(*wasm_signature(function))
    if declared != wanted.type:
        raise InvalidCode(f"the blob expects {wanted.name} to be {wanted.type}, but it is {declared}")
    return OWN_BINDINGS.get(function) or _marshalled(function)


def _missing(name: str) -> Binding:
    reason = reason_not_served(name) or "it knows no function of that name"

    def binding(execution: Execution, *_: int) -> int | None:
        raise MissingHostFunction(name, f"this host ({reason})")

    return binding


# -- what the executor answers itself ----------------------------------------------------------------------


def _malloc(execution: Execution, size: int) -> int:
    return execution.allocator.allocate(size)


def _free(execution: Execution, pointer: int) -> None:
    execution.allocator.deallocate(pointer)


def _input_read(execution: Execution, buffer: int) -> None:
    argument = execution.argument
    if buffer >> 32 < len(argument):
        raise GuestFault(f"the buffer holds {buffer >> 32} bytes, the input has {len(argument)}")
    execution.memory.write(buffer & LOW, argument)


_encode_last_cursor: Final = into_encoder(Into.WHOLE, 0, guest_allocates.last_cursor.name)


def _last_cursor(execution: Execution, *raw: int) -> int | None:
    written = _encode_last_cursor(execution, execution.cursor, raw)
    if execution.cursor is not None and raw[-1] >> 32 >= len(execution.cursor):
        execution.cursor = None
    return written


def _abort_on_panic(execution: Execution, message: int) -> None:
    raise execution.panic(_read_fat(execution.memory, message))


def _log(execution: Execution, level: int, target: int, message: int) -> None:
    read = _read_fat(execution.memory, message)
    if level == LEVEL_ERROR:
        execution.last_error = text(read)
    execution.context.resolve(logging.log)(level, _read_fat(execution.memory, target), read)


OWN_BINDINGS: Final[dict[HostFunction[..., Any], Binding]] = {
    allocator.malloc: _malloc,
    allocator.free: _free,
    guest_allocates.input_read: _input_read,
    guest_allocates.last_cursor: _last_cursor,
    panic_handler.abort_on_panic: _abort_on_panic,
    logging.log: _log,
}

# -- what the context answers ------------------------------------------------------------------------------


def _marshalled(function: HostFunction[..., Any]) -> Binding:
    if isinstance(function, WireForm):
        return _marshalled_form(function)
    wires = [wire_of(annotation) for annotation in function.parameters.values()]
    decoders = [_decoder(wire) for wire in wires]
    buffers = tuple(index for index, wire in enumerate(wires) if wire.form == "out")
    encode = _encoder_of(function)
    if not buffers:
        return _asking(function, decoders, encode)

    def binding(execution: Execution, *raw: int) -> int | None:
        implementation = execution.context.resolve(function)
        memory = execution.memory
        arguments = [decode(memory, value) for decode, value in zip(decoders, raw, strict=False)]
        result = implementation(*arguments)
        for index in buffers:
            memory.write(raw[index] & LOW, arguments[index])
        return encode(execution, result, raw)

    return binding


def _asking(function: HostFunction[..., Any], decoders: Sequence[Decoder], encode: Encoder) -> Binding:
    """The binding of a function whose arguments are those of its import, in their order.

    An `into` result has more raw arguments, its buffer, for which no decoder stands. Nearly all calls take one
    argument or two, and a block makes tens of thousands: these are spelled out.
    """
    if len(decoders) == 1:
        (only,) = decoders

        def of_one(execution: Execution, *raw: int) -> int | None:
            implementation = execution.context.resolve(function)
            return encode(execution, implementation(only(execution.memory, raw[0])), raw)

        return of_one
    if len(decoders) == 2:
        first, second = decoders

        def of_two(execution: Execution, *raw: int) -> int | None:
            implementation = execution.context.resolve(function)
            memory = execution.memory
            return encode(execution, implementation(first(memory, raw[0]), second(memory, raw[1])), raw)

        return of_two

    def of_some(execution: Execution, *raw: int) -> int | None:
        implementation = execution.context.resolve(function)
        memory = execution.memory
        arguments = [decode(memory, value) for decode, value in zip(decoders, raw, strict=False)]
        return encode(execution, implementation(*arguments), raw)

    return of_some


def _marshalled_form(form: WireForm[..., Any]) -> Binding:
    """As `_marshalled`, for a form whose parameters are not those of the function that is asked."""
    function = form.answered_by
    decoders = [
        (name, _decoder(wire_of(annotation)), place)
        for place, (name, annotation) in enumerate(form.parameters.items())
    ]
    asked = [entry for entry in decoders if entry[0] in function.parameters]
    own = [entry for entry in decoders if entry[0] not in function.parameters]
    in_state_version = "state_version" in function.parameters and "state_version" not in form.parameters
    encode, select = _encoder_of(form), form.select
    if select is None and [name for name, _, _ in decoders] == list(function.parameters):
        return _asking(function, [decode for _, decode, _ in decoders], encode)

    def binding(execution: Execution, *raw: int) -> int | None:
        implementation = execution.context.resolve(function)
        memory = execution.memory
        arguments = {name: decode(memory, raw[place]) for name, decode, place in asked}
        if in_state_version:
            arguments["state_version"] = execution.state_version()
        # By position: what replaces a function may name its parameters as it likes.
        result = implementation(*[arguments[name] for name in function.parameters])
        if select is not None:
            result = select(result, *[decode(memory, raw[place]) for _, decode, place in own])
        return encode(execution, result, raw)

    return binding


def _read_fat(memory: GuestMemory, pointer: int) -> bytes:
    return memory.read(pointer & LOW, pointer >> 32)


def _decoder(wire: Wire) -> Decoder:
    if wire.form == "fat":
        return _read_fat
    if wire.form == "out":
        return lambda memory, pointer: bytearray(_read_fat(memory, pointer))
    if wire.form == "thin":
        size = wire.size
        return lambda memory, address: memory.read(address, size)
    if wire.form == "value":
        return lambda memory, value: value
    if wire.form == "optional":
        return _read_optional
    if wire.form == "optional fat":
        return lambda memory, pointer: None if pointer == ABSENT else _read_fat(memory, pointer)
    decode = WIRE_CODECS[wire.scale].decode_prefix

    def decoder(memory: GuestMemory, pointer: int) -> Any:
        try:
            return decode(_read_fat(memory, pointer))[0]
        except ScaleError as error:
            raise GuestFault(f"undecodable argument: {error}") from None

    return decoder


def _read_optional(memory: GuestMemory, value: int) -> int | None:
    if value == ABSENT:
        return None
    if value > LOW:
        raise GuestFault(f"{value - (1 << 64) if value >> 63 else value} is neither a 32-bit number nor -1")
    return value


def _encoder_of(function: HostFunction[..., Any]) -> Encoder:
    if function.result is type(None):
        return _nothing
    return _encoder(wire_of(function.result), function.name)


def _nothing(execution: Execution, value: None, raw: tuple[int, ...]) -> None:
    return None


def _allocate(execution: Execution, data: bytes) -> int:
    address = execution.allocator.allocate(len(data))
    execution.memory.write(address, data)
    return address


def _encoder(wire: Wire, name: str) -> Encoder:
    if wire.into is not None:
        return into_encoder(wire.into, wire.size, name)
    if wire.form == "value":
        mask = LOW if wire.types == ("i32",) else ABSENT
        return lambda execution, value, raw: int(value) & mask
    if wire.form == "fat":
        return lambda execution, value, raw: _allocate(execution, value) | len(value) << 32
    if wire.form == "thin":
        size = wire.size

        def thin(execution: Execution, value: bytes, raw: tuple[int, ...]) -> int:
            if len(value) != size:
                raise HostError(f"{name}: the context answered {len(value)} bytes instead of {size}")
            return _allocate(execution, value)

        return thin
    encode = WIRE_CODECS[wire.scale].encode

    def scale(execution: Execution, value: Any, raw: tuple[int, ...]) -> int:
        data = encode(value)
        return _allocate(execution, data) | len(data) << 32

    return scale
