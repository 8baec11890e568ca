"""Worker processes that misbehave, die, or are left alone: the host judges right and leaves nothing behind."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host_functions.contexts import HostContext, ValidationContext
from host_functions.errors import StateUnavailable
from host_functions.interfaces.relay_chain_state import read_relay_state
from pov_validator import Abstain, AbstainReason, Invalid, InvalidReason, OwnState, Valid
from pov_validator.pvf import (
    ExecutorParams,
    PossiblyInvalid,
    PreparationFailed,
    PreparationFailure,
    PvfHost,
    PvfRuntime,
    WorkerFailure,
)
from pov_validator.pvf.process import PROGRAM

MakeHost = Callable[..., PvfHost]
Eventually = Callable[[Callable[[], bool]], None]

LYING = """
import json, socket, sys
sys.path[:] = json.loads(sys.argv[2])
from pov_validator.pvf.protocol import *
from pov_validator.pvf.protocol import Data, Number, Nothing, Truth
channel = Channel(socket.socket(fileno=int(sys.argv[1])), 1 << 30)
def say(message):
    channel.send(from_worker.encode(message))
def raw(data):
    channel._socket.sendall(data)
def hear():
    return to_worker.decode(channel.receive())
hear(); say(Ready())
while True:
    job = hear()
    if isinstance(job, Load):
        say(Loaded())
    elif isinstance(job, Execute):
        say(Started())
        BODY
"""


def lying(body: str) -> str:
    """A worker that starts and loads as it should, and then does ``body``."""
    return LYING.replace("BODY", textwrap.indent(textwrap.dedent(body), " " * 8).strip())


@pytest.fixture
def good(guests: Any) -> bytes:
    return guests.module(guests.ok)  # type: ignore[no-any-return]


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize(
    "body, said",
    [
        ('raw(b"\\xff\\xff\\xff\\xff")', "a message of 4294967295 bytes"),
        ('raw(b"\\x04\\0\\0\\0junk")', "does not decode"),
        ('raw(b"\\x01\\0\\0\\0\\x63")', "does not decode"),
        ('raw(b"\\x02\\0\\0\\0\\x00\\x00")', "does not decode"),
        ("say(Ready())", "Ready in the middle of a job"),
        ("say(Loaded())", "Loaded in the middle of a job"),
        ("say(Prepared())", "Prepared in the middle of a job"),
        ('say(HostCall("ext_storage_get_version_1", (Data(b"k"),)))', "not the host's"),
        ('say(HostCall("__class__", ()))', "not the host's"),
        ("say(HostCall(job.remote[0], ()))", "called with 0 arguments"),
        ("say(HostCall(job.remote[0], (Number(1),)))", "an argument of the wrong type"),
        ("say(HostCall(job.remote[0], (Nothing(),)))", "an argument of the wrong type"),
        ('say(Stopped(99, "", ()))', "it stopped for reason 99"),
        ('say(Stopped(Stop.HOST_CALL, "", ()))', "it stopped for reason 6"),
        ("sys.exit(3)", "ended with status 3"),
        ("import os; os.kill(os.getpid(), 11)", "died of signal 11"),
        ("sys.exit('last words \\x1b[31m')", r"'last words \x1b[31m'"),
    ],
)
def test_nothing_a_worker_says_is_believed(
    guests: Any, make_host: MakeHost, good: bytes, body: str, said: str
) -> None:
    host = make_host(program=lying(body))
    verdict = guests.judge(good, host)
    assert isinstance(verdict, Invalid), verdict
    assert verdict.reason is InvalidReason.EXECUTION_ERROR
    assert said in verdict.detail
    assert "\n" not in verdict.detail
    assert "\x1b" not in verdict.detail
    assert host.pids == ()


def test_a_result_is_checked_like_any_other(guests: Any, make_host: MakeHost, good: bytes) -> None:
    verdict = guests.judge(good, make_host(program=lying('say(Returned(b"junk", ()))')))
    assert isinstance(verdict, Invalid)
    assert verdict.reason is InvalidReason.BAD_RETURN


@pytest.mark.parametrize(
    "then",
    [
        'say(Returned(b"never mind", ()))',
        'say(Stopped(Stop.PANIC, "guessed", ()))',
        "say(Ready())",
        "sys.exit(1)",
        "import time; time.sleep(60)",
        'say(HostCall(job.remote[0], (Data(b"another"),)))',
    ],
)
def test_a_failed_read_counts_whatever_the_worker_makes_of_it(
    guests: Any, make_host: MakeHost, good: bytes, relay_node: Any, then: str
) -> None:
    asking = f'say(HostCall(job.remote[0], (Data(b"key"),)))\nhear()\n{then}'
    host = make_host(ExecutorParams(backing_timeout=0.5), program=lying(asking))
    unable = read_relay_state_that_fails()
    with pytest.raises(StateUnavailable):
        PvfRuntime(good, host).call("validate_block", b"", unable)
    verdict = guests.judge(good, host, relay_state=OwnState(relay_node(pruned=True)))
    assert isinstance(verdict, Abstain)
    assert verdict.reason is AbstainReason.RELAY_STATE_UNAVAILABLE


def read_relay_state_that_fails() -> HostContext:
    def fail(key: bytes) -> bytes:
        raise StateUnavailable(bytes(32))

    return ValidationContext().override({read_relay_state: fail})


@pytest.mark.parametrize(
    "body", ["import time; time.sleep(60)", 'raw(b"\\x10\\0\\0\\0"); import time; time.sleep(60)']
)
def test_a_worker_that_hangs_is_killed_from_outside(
    guests: Any, make_host: MakeHost, good: bytes, body: str
) -> None:
    host = make_host(ExecutorParams(backing_timeout=0.05), program=lying(body))
    verdict = guests.judge(good, host)
    assert isinstance(verdict, Invalid), verdict
    assert verdict.reason is InvalidReason.TIMEOUT
    assert "stopped after 0.2 s" in verdict.detail
    assert host.pids == ()


@pytest.mark.parametrize(
    "body, said",
    [
        ("sys.exit('before it began')", "'before it began'"),
        ("say(Returned(b'x', ()))", "answered Returned"),
        ('raw(b"\\x04\\0\\0\\0junk")', "does not decode"),
    ],
)
def test_a_worker_that_never_begins_says_nothing_about_the_candidate(
    guests: Any, make_host: MakeHost, good: bytes, body: str, said: str
) -> None:
    program = lying(body).replace("say(Started())", "")
    verdict = guests.judge(good, make_host(program=program))
    assert isinstance(verdict, Abstain), verdict
    assert verdict.reason is AbstainReason.HOST_FAILURE
    assert said in verdict.detail


def test_a_worker_that_was_dying_already_is_replaced(
    guests: Any, make_host: MakeHost, good: bytes, tmp_path: Path
) -> None:
    """The first process ends when it is given the job, the second one does it."""
    mark = tmp_path / "one has died"
    patch = f"""
import os, pathlib
import pov_validator.pvf.worker as w
mark, real = pathlib.Path({str(mark)!r}), w.Worker._execute
def execute(self, job):
    if not mark.exists():
        mark.mkdir()
        os._exit(1)
    return real(self, job)
w.Worker._execute = execute
"""
    program = PROGRAM.replace("main(int", f"exec({patch!r}); main(int")
    host = make_host(program=program)
    assert isinstance(guests.judge(good, host), Valid)
    assert mark.exists()


def test_a_worker_that_fails_itself_says_nothing_about_the_candidate(
    guests: Any, make_host: MakeHost, good: bytes
) -> None:
    verdict = guests.judge(good, make_host(program=lying('say(Broken("no memory"))')))
    assert isinstance(verdict, Abstain)
    assert verdict.reason is AbstainReason.HOST_FAILURE
    assert "no memory" in verdict.detail


@pytest.mark.parametrize(
    "program, said",
    [
        ("import sys; sys.exit('no luck today')", "ended with status 1: 'no luck today'"),
        ("raise ImportError('the library is broken')", "ImportError: the library is broken"),
        ("import os; os.abort()", "died of signal 6"),
        (
            "import socket, sys; socket.socket(fileno=int(sys.argv[1])).sendall(b'hello there'); sys.stdin.read()",
            "more than",
        ),
    ],
)
def test_a_worker_that_does_not_start(
    guests: Any, make_host: MakeHost, good: bytes, program: str, said: str
) -> None:
    host = make_host(program=program)
    verdict = guests.judge(good, host)
    assert isinstance(verdict, Abstain), verdict
    assert verdict.reason is AbstainReason.HOST_FAILURE
    assert said in verdict.detail
    with pytest.raises(WorkerFailure, match="did not start"):
        host.prepare(good)
    assert host.pids == ()


SLOW = PROGRAM.replace("main(int", "import pov_validator.pvf.worker as w; w.WasmRuntime = PATCH; main(int")


def preparing(patch: str) -> str:
    """A worker whose compiler is ``patch``, a function of the code."""
    return SLOW.replace("PATCH", patch)


@pytest.mark.parametrize(
    "patch, params, failure",
    [
        (
            "lambda *a, **k: [0 for _ in iter(int, 1)]",
            {"precheck_timeout": 0.1},
            PreparationFailure.TIMED_OUT,
        ),
        (
            "lambda *a, **k: __import__('time').sleep(60)",
            {"precheck_timeout": 0.05},
            PreparationFailure.TIMED_OUT,
        ),
        ("lambda *a, **k: __import__('os').abort()", {}, PreparationFailure.JOB_DIED),
        ("lambda *a, **k: bytearray(1 << 40)", {}, PreparationFailure.OUT_OF_MEMORY),
    ],
)
def test_compilers_that_fail(
    make_host: MakeHost, good: bytes, patch: str, params: dict[str, float], failure: PreparationFailure
) -> None:
    host = make_host(ExecutorParams(**params), program=preparing(patch))  # type: ignore[arg-type]
    with pytest.raises(PreparationFailed) as caught:
        host.prepare(good + b"\0\x02\x01x")
    assert caught.value.failure is failure, caught.value


def test_a_compiler_that_runs_out_of_memory(make_host: MakeHost, guests: Any) -> None:
    """The real one, first with enough, then with too little."""
    sums = "(i32.const 1)" + "(i32.add (i32.const 1))" * 20_000
    large = guests.module(guests.ok, f"(func (result i32) {sums})")
    with pytest.raises(PreparationFailed) as caught:
        make_host(ExecutorParams(preparation_memory=48 << 20, stack_native_max=1 << 20)).prepare(large)
    assert caught.value.failure is PreparationFailure.OUT_OF_MEMORY, caught.value
    make_host(ExecutorParams(preparation_memory=400 << 20, stack_native_max=1 << 20)).prepare(large)


def test_a_cache_that_cannot_be_used(guests: Any, tmp_path: Path, good: bytes) -> None:
    tmp_path.chmod(0o777)
    with PvfHost(cache=tmp_path, workers=1) as host:
        verdict = guests.judge(good, host)
    assert isinstance(verdict, Abstain), verdict
    assert "another user" in verdict.detail
    assert "\n" not in verdict.detail


def test_damaged_compiled_code_is_compiled_again(guests: Any, tmp_path: Path, good: bytes) -> None:
    with PvfHost(cache=tmp_path / "c", workers=1) as host:
        assert isinstance(guests.judge(good, host), Valid)
    for artifact in (tmp_path / "c").glob("*.cwasm"):
        content = bytearray(artifact.read_bytes())
        content[len(content) // 2] ^= 1
        artifact.write_bytes(content)
    with PvfHost(cache=tmp_path / "c", workers=1) as host:
        assert isinstance(guests.judge(good, host), Valid)


def test_compiled_code_is_kept_between_hosts(guests: Any, tmp_path: Path, good: bytes) -> None:
    """The second one has no compiler, and does not miss it."""
    with PvfHost(cache=tmp_path / "c", workers=1) as host:
        host.prepare(good)
    no_compiler = PROGRAM.replace(
        "main(int",
        "import host_functions.executor.wasm.cache as c; c.compile_module = None; main(int",
    )
    with PvfHost(cache=tmp_path / "c", workers=1, program=no_compiler) as host:
        assert isinstance(guests.judge(good, host), Valid)
        with pytest.raises(PreparationFailed):
            host.prepare(good + b"\0\x02\x01y")


def test_executing_processes_cannot_write_files(
    guests: Any, tmp_path: Path, make_host: MakeHost, good: bytes
) -> None:
    """What a guest that breaks out of the engine would try first."""
    target = tmp_path / "written"
    spy = f"""
import pov_validator.pvf.worker as w
def call(self, *a):
    try:
        with open({str(target)!r}, "wb") as f:
            f.write(b"x")
    except OSError as error:
        return str(error).encode()
    return b"written"
w.WasmRuntime.call = call
"""
    program = PROGRAM.replace("main(int", f"exec({spy!r}); main(int")
    host = make_host(program=program)
    answer = PvfRuntime(good, host).call("validate_block", b"", ValidationContext())
    assert b"File too large" in answer
    assert not target.exists() or target.read_bytes() == b""


# -- the pool ----------------------------------------------------------------------------------------------


def test_threads_share_a_host(guests: Any, make_host: MakeHost) -> None:
    host = make_host(workers=2)
    codes = [guests.module(f"(drop (i32.const {number})) {guests.ok}") for number in range(3)]
    verdicts: list[object] = []

    def work(seed: int) -> None:
        for number in range(6):
            verdicts.append(guests.judge(codes[(seed + number) % 3], host))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(verdicts) == 24
    assert all(isinstance(verdict, Valid) for verdict in verdicts)
    assert len(host.pids) <= 2


def test_more_codes_than_a_process_keeps_loaded(guests: Any, make_host: MakeHost) -> None:
    host = make_host()
    codes = [guests.module(f"(drop (i64.const {number})) {guests.ok}") for number in range(11)]
    for code in (*codes, *reversed(codes), codes[5]):
        assert isinstance(guests.judge(code, host), Valid)
    assert len(host.pids) == 1


def test_code_that_cannot_be_loaded_takes_nobodys_place(guests: Any, make_host: MakeHost) -> None:
    """It was let in for another one, which is gone then; the next one must not get the place of a third."""
    host = make_host()
    codes = [
        guests.module(f"(i64.const {number << 32})") for number in range(9)
    ]  # each returns so many zeros
    bad = [b"no code", guests.module("(drop (v128.const i64x2 0 0)) (i64.const 0)")]
    order = [*codes, bad[0], codes[8], bad[1], codes[0], codes[1], bad[0], codes[2], *codes, *reversed(codes)]
    for code in order:
        runtime = PvfRuntime(code, host)
        if code in bad:
            with pytest.raises(PreparationFailed):
                runtime.call("validate_block", b"", ValidationContext())
        else:
            answer = runtime.call("validate_block", b"", ValidationContext())
            assert answer == bytes(codes.index(code))
    assert len(host.pids) == 1


def test_a_worker_killed_while_it_waits_is_replaced(
    guests: Any, make_host: MakeHost, good: bytes, eventually: Eventually
) -> None:
    """Not the candidate's doing: it must not even notice."""
    host = make_host()
    assert isinstance(guests.judge(good, host), Valid)
    (pid,) = host.pids
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not running(pid))
    assert isinstance(guests.judge(good, host), Valid)
    assert host.pids != (pid,)


def test_a_closed_host(guests: Any, make_host: MakeHost, good: bytes, eventually: Eventually) -> None:
    host = make_host()
    assert isinstance(guests.judge(good, host), Valid)
    pids = host.pids
    host.close()
    host.close()
    assert not any(running(pid) for pid in pids)
    with pytest.raises(WorkerFailure, match="closed"):
        PvfRuntime(good, host).call("validate_block", b"", ValidationContext())
    with pytest.raises(WorkerFailure, match="closed"):
        host.prepare(good)


def test_a_host_that_is_let_go(
    guests: Any, cache_directory_of_tests: Path, good: bytes, eventually: Eventually
) -> None:
    host = PvfHost(cache=cache_directory_of_tests, workers=1)
    assert isinstance(guests.judge(good, host), Valid)
    pids = host.pids
    del host
    gc.collect()
    eventually(lambda: not any(running(pid) for pid in pids))


def test_closing_in_the_middle_of_a_job(guests: Any, make_host: MakeHost) -> None:
    host = make_host(ExecutorParams())
    read = (
        '(import "env" "ext_relay_chain_state_read_relay_chain_state_into_version_1"'
        " (func $read (param i64 i64) (result i64)))"
    )
    code = guests.module("(drop (call $read (i64.const 0) (i64.const 0))) (i64.const 0)", read)

    def closing(key: bytes) -> bytes:
        host.close()
        return b""

    with pytest.raises(WorkerFailure, match="closed in the middle"):
        PvfRuntime(code, host).call(
            "validate_block", b"", ValidationContext().override({read_relay_state: closing})
        )


def test_memory_and_descriptors_stay_flat(guests: Any, make_host: MakeHost) -> None:
    """Panics, results, deaths: the host holds on to nothing."""
    host = make_host()
    panics = guests.module("unreachable")
    echo = guests.module(
        "(i64.or (i64.extend_i32_u (local.get $at)) (i64.shl (i64.extend_i32_u (local.get $size)) (i64.const 32)))"
    )

    def rounds(count: int) -> None:
        for number in range(count):
            argument = number.to_bytes(4, "little") * 10_000
            assert PvfRuntime(echo, host).call("validate_block", argument, ValidationContext()) == argument
            assert isinstance(guests.judge(panics, host), Invalid)

    def resident(pid: int) -> int:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    rounds(60)
    (pid,) = host.pids
    before, descriptors = resident(pid), len(os.listdir("/proc/self/fd"))
    rounds(300)
    assert host.pids == (pid,)
    assert resident(pid) - before < 4 << 20
    assert len(os.listdir("/proc/self/fd")) == descriptors


# -- nothing is left behind --------------------------------------------------------------------------------

LEAVING = """
import os, signal, sys, time
from pathlib import Path
from pov_validator.pvf import PvfHost
host = PvfHost(cache=Path(sys.argv[1]), workers=1)
from host_functions.contexts import ValidationContext
from pov_validator.pvf import PvfRuntime
code = bytes.fromhex(sys.argv[2])
try:
    PvfRuntime(code, host).call("validate_block", b"", ValidationContext())
finally:
    print(*host.pids, flush=True)
END
"""


def leave(cache: Path, code: bytes, end: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", LEAVING.replace("END", end), str(cache), code.hex()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "end", ["", "sys.exit(3)", "raise KeyboardInterrupt", "os._exit(0)", "os.kill(os.getpid(), 9)"]
)
def test_no_process_outlives_the_host(
    guests: Any, cache_directory_of_tests: Path, good: bytes, eventually: Eventually, end: str
) -> None:
    with leave(cache_directory_of_tests, good, end) as process:
        out, _ = process.communicate(timeout=300)
    pids = [int(word) for word in out.split()]
    assert len(pids) == 1
    eventually(lambda: not any(running(pid) for pid in pids))


@pytest.mark.usefixtures("children_hear_ctrl_c")
def test_ctrl_c_in_the_middle_of_a_job(
    guests: Any, cache_directory_of_tests: Path, eventually: Eventually
) -> None:
    """The signal goes to the host; its worker, which is deep in a loop of the guest, ends with it."""
    loop = guests.module("(loop $l (br $l)) (i64.const 0)")
    telling = """
import threading, time
def tell():
    while not host.pids:
        time.sleep(0.01)
    print(*host.pids, flush=True)
threading.Thread(target=tell, daemon=True).start()
try:"""
    patient = "PvfHost(ExecutorParams(backing_timeout=500.0), cache"
    script = LEAVING.replace("END", "").replace("try:", telling).replace("PvfHost(cache", patient)
    script = script.replace("import PvfHost", "import ExecutorParams, PvfHost")
    with subprocess.Popen(
        [sys.executable, "-c", script, str(cache_directory_of_tests), loop.hex()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        pids = [int(word) for word in process.stdout.readline().split()]
        assert pids
        assert all(running(pid) for pid in pids)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=300)
    assert "KeyboardInterrupt" in errors
    eventually(lambda: not any(running(pid) for pid in pids))


def test_a_forked_child_leaves_the_workers_alone(guests: Any, make_host: MakeHost, good: bytes) -> None:
    host = make_host()
    assert isinstance(guests.judge(good, host), Valid)
    script = os.fork()
    if script == 0:
        host.close()
        os._exit(0)
    os.waitpid(script, 0)
    assert all(running(pid) for pid in host.pids)
    assert isinstance(guests.judge(good, host), Valid)


def test_a_start_is_not_slow_on_purpose(make_host: MakeHost, good: bytes) -> None:
    """No wall-time law, but a process that imported the tool would take seconds: look at what it has loaded."""
    program = PROGRAM.replace(
        "main(int",
        "heavy = [m for m in ('pileus', 'runtime.pallets', 'rich', 'scalecodec', 'asyncio') if m in sys.modules];"
        "heavy and sys.exit('loaded ' + ' '.join(heavy)); main(int",
    )
    make_host(program=program).prepare(good)


def test_ambiguity_has_its_own_error(make_host: MakeHost, good: bytes) -> None:
    with pytest.raises(PossiblyInvalid):
        PvfRuntime(good, make_host(program=lying("sys.exit(1)"))).call(
            "validate_block", b"", ValidationContext()
        )
