"""Validation functions of strangers, prepared and executed in worker processes.

`PvfRuntime` is a `host_functions.executor.Runtime` whose calls run in a `PvfHost`; `ExecutorParams` says what a guest
is granted. See the page 'The PVF host' for what is enforced, and where.
"""

from pov_validator.pvf.errors import PossiblyInvalid as PossiblyInvalid
from pov_validator.pvf.errors import PreparationFailed as PreparationFailed
from pov_validator.pvf.errors import PreparationFailure as PreparationFailure
from pov_validator.pvf.errors import WorkerFailure as WorkerFailure
from pov_validator.pvf.host import PvfHost as PvfHost
from pov_validator.pvf.params import ExecKind as ExecKind
from pov_validator.pvf.params import ExecutorParams as ExecutorParams
from pov_validator.pvf.params import PrepareKind as PrepareKind
from pov_validator.pvf.runtime import PvfRuntime as PvfRuntime
from pov_validator.pvf.runtime import shared_host as shared_host
