"""A host function of your own, declared once and answered in two contexts: a sibling's head, by its id."""

from host_functions.abi import U32, OptionBytes
from host_functions.contexts import BlockContext, ValidationContext
from host_functions.declare import host_function
from runtime.primitives.relay_keys import para_head


@host_function("sibling")
def head(para_id: U32) -> OptionBytes:
    """What the relay parent's state holds under ``Paras::Heads``, or ``None`` if the para has no head."""


@BlockContext.answers(head)  # whoever builds or imports a block
@ValidationContext.answers(head)  # whoever judges a candidate
def from_relay_state(context, para_id):
    return context.relay.read(para_head(para_id))
