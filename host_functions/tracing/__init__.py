"""Seeing every host call: who answered it, with what, and which proof nodes it touched.

::

    trace = Trace("validator")
    with observing(trace):
        runtime.call("validate_block", params, context)
    for call in trace.calls: ...

Works for every engine and at both levels of override: a call that the guest answers itself (storage, inside
``validate_block``) is seen like one that reaches the host, except inside a Wasm blob, whose own replacements no host
can see. `align` puts two traces side by side and names the first call on which they differ.

Costs nothing while nobody observes: contexts and engines are wrapped when a runtime is entered, and
`HostFunction.__call__` knows nothing of it. Follows the instruments of trio [trio-instruments]: an observer that fails
is detached and reported, and is never able to change a result.
"""

from host_functions.tracing.align import Alignment as Alignment
from host_functions.tracing.align import Match as Match
from host_functions.tracing.align import Pair as Pair
from host_functions.tracing.align import align as align
from host_functions.tracing.call import HostCall as HostCall
from host_functions.tracing.observe import HostCallObserver as HostCallObserver
from host_functions.tracing.observe import Observation as Observation
from host_functions.tracing.observe import observed as observed
from host_functions.tracing.observe import observing as observing
from host_functions.tracing.trace import Trace as Trace
