"""``python -m host_functions.executor.frozen.build``: make sure there is a Python VM.

``--have`` only says whether there is one; ``--packaged`` also puts it beside the package, where a wheel takes it
from; ``--again`` builds it even if it is there.
"""

from __future__ import annotations

import argparse
import sys
import time

from host_functions.executor.frozen.build.vm import BuildError, build_vm
from host_functions.executor.frozen.vm import PACKAGED_VM, MissingVm, cached_vm_path, find_vm, store_vm


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m host_functions.executor.frozen.build")
    parser.add_argument("--packaged", action="store_true", help="also put it where a wheel takes it from")
    parser.add_argument("--again", action="store_true", help="build even if it is there")
    parser.add_argument("--have", action="store_true", help="only look; exit status 1 without it")
    chosen = parser.parse_args()
    try:
        code = None if chosen.again else find_vm(lambda line: print(line, file=sys.stderr))
    except MissingVm:
        code = None
    if chosen.have:
        return 0 if code is not None else 1
    if code is None:
        print("building the Python VM (once) ...", file=sys.stderr)
        begun = time.monotonic()
        try:
            code = build_vm()
        except BuildError as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        store_vm(code, cached_vm_path())
        print(f"built in {time.monotonic() - begun:.0f} s: {cached_vm_path()}", file=sys.stderr)
    if chosen.packaged:
        store_vm(code, PACKAGED_VM)
    return 0


if __name__ == "__main__":
    sys.exit(main())
