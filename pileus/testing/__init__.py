"""Helpers for tests and experiments.

* a guest in many contexts: `assert_contexts_agree`, `WasmCaller`, `RuntimeCall`;
* a host function of your own: `relay_contexts`, `assert_function_conforms`;
* candidates as a dishonest collator would make them: `reseal`, `recommit`, `bit_flips`;
* Hypothesis strategies in `pileus.testing.strategies`, and a pytest plugin in `pileus.pytest_plugin`.

The conformance test of contexts is `host_functions.conformance.run_conformance_test`.
"""

from pileus.testing.differential import ContextRun as ContextRun
from pileus.testing.differential import RuntimeCall as RuntimeCall
from pileus.testing.differential import assert_contexts_agree as assert_contexts_agree
from pileus.testing.differential import run_in_context as run_in_context
from pileus.testing.relay_contexts import assert_function_conforms as assert_function_conforms
from pileus.testing.relay_contexts import relay_contexts as relay_contexts
from pileus.testing.tampering import bit_flips as bit_flips
from pileus.testing.tampering import recommit as recommit
from pileus.testing.tampering import reseal as reseal
from pileus.testing.wasm_guest import WasmCaller as WasmCaller
