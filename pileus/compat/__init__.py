"""How well runtimes get on with us: the matrix of `pileus compat`, one row per chain spec or blob.

`examine` makes the row of one file, `examine_all` those of a set, each in a process of its own.
"""

from pileus.compat.examine import examine as examine
from pileus.compat.matrix import Cell as Cell
from pileus.compat.matrix import Column as Column
from pileus.compat.matrix import Kind as Kind
from pileus.compat.matrix import Row as Row
from pileus.compat.matrix import Timings as Timings
from pileus.compat.processes import Options as Options
from pileus.compat.processes import examine_all as examine_all
