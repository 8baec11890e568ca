"""Where the objects of a loaded runtime lie, for the host to make them immortal.

Asked of the VM after its state was taken, so what asking allocates is in no blob. Everything is found from the
loaded modules; what only a running frame holds is not, and that is what a call leaves behind.
"""

import gc
import sys
from types import CodeType, FrameType


def addresses(argument: bytes) -> bytes:
    """As an entry point: address of ``None``, then of every object there is to reach, little-endian ``u32`` each."""
    seen: dict[int, None] = {id(None): None}
    pending: list[object] = [sys.modules]
    while pending:
        one = pending.pop()
        if id(one) in seen or type(one) is FrameType:
            continue
        seen[id(one)] = None
        pending.append(type(one))
        pending.extend(gc.get_referents(one))
        if type(one) is CodeType:  # it takes part in no cycle, so the collector does not know what it holds
            pending.extend((one.co_consts, one.co_names, one.co_name, one.co_qualname, one.co_filename))
            pending.extend((one.co_linetable, one.co_exceptiontable))
    return b"".join(address.to_bytes(4, "little") for address in seen)
