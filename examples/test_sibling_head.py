"""The tests of ``sibling_head.py``: run them with ``PYTHONPATH=examples pytest examples/test_sibling_head.py``."""

from hypothesis import given
from sibling_head import head

import pileus.testing as kit
from pileus.testing import strategies


@given(strategies.relay_states(), strategies.para_ids())
def test_every_context_agrees(entries, para_id):
    for guest in (lambda: head(para_id), kit.WasmCaller(head)(para_id)):
        kit.assert_contexts_agree(guest, kit.relay_contexts(entries))


def test_it_obeys_the_rules():
    kit.assert_function_conforms(head, relay_states=strategies.relay_states())
