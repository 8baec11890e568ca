"""Guests for the PVF host: small modules in the text format, each with one habit, and candidates of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest
import wasmtime

from host_functions.errors import StateUnavailable
from host_functions.state_machine.genesis import Storage, build_state
from pov_validator import OwnState, RelayStateSource, Verdict, validate_candidate
from pov_validator.pvf import ExecKind, ExecutorParams, PvfHost, PvfRuntime
from runtime.primitives.hashing import blake2_256
from runtime.primitives.parachain import CandidateDescriptorV2, PersistedValidationData, PoV, ValidationResult

RELAY_KEY = b"relay key"
RELAY_VALUE = b"a value that is long enough to be stored apart from its trie node"
ROOT, NODES = build_state(Storage({RELAY_KEY: RELAY_VALUE, b"another": b"x" * 60}))
HEAD = b"the new head"
RESULT = ValidationResult(HEAD, None, (), (), 0, 7)
RESULT_AT = 256
"""Where a guest's own result stands."""
OK = f"(i64.const {RESULT_AT | len(RESULT.encode()) << 32})"
"""Body that returns it."""


@dataclass(frozen=True)
class Guests:
    """Builds modules and candidates, and has them judged."""

    ok: str = OK
    head: bytes = HEAD
    relay_key: bytes = RELAY_KEY
    relay_value: bytes = RELAY_VALUE
    relay_root: bytes = ROOT

    def module(self, body: str, *fields: str, memory: str = '(memory (export "memory") 2)') -> bytes:
        """A validation function; ``body`` leaves its packed result on the stack, `ok` is one that is right."""
        data = "".join(f"\\{byte:02x}" for byte in RESULT.encode())
        imports = [field for field in fields if field.startswith("(import")]
        others = [field for field in fields if not field.startswith("(import")]
        return bytes(
            wasmtime.wat2wasm(
                f"""(module {" ".join(imports)} {memory}
                  (global (export "__heap_base") i32 (i32.const 4096))
                  (data (i32.const {RESULT_AT}) "{data}")
                  {" ".join(others)}
                  (func (export "validate_block") (param $at i32) (param $size i32) (result i64)
                    (local $i i32) {body}))"""
            )
        )

    def judge(
        self,
        code: bytes,
        host: PvfHost,
        kind: ExecKind = ExecKind.BACKING,
        *,
        head: bytes = HEAD,
        relay_state: RelayStateSource | None = None,
        payload: bytes = b"payload",
    ) -> Verdict:
        """The verdict on a candidate of ``code`` whose collator says it returns ``head``."""
        pvd = PersistedValidationData(b"parent head", 7, ROOT, 1_000_000)
        pov = PoV(payload)
        result = ValidationResult(head, None, (), (), 0, 7)
        descriptor = CandidateDescriptorV2(
            para_id=2000,
            relay_parent=bytes(32),
            version=0,
            core_index=0,
            session_index=0,
            reserved1=bytes(25),
            persisted_validation_data_hash=pvd.hash(),
            pov_hash=pov.hash(),
            erasure_root=bytes(32),
            reserved2=bytes(64),
            para_head=blake2_256(head),
            validation_code_hash=blake2_256(code),
        )
        return validate_candidate(
            descriptor,
            result.to_commitments().hash(),
            pov,
            pvd,
            PvfRuntime(code, host, kind=kind),
            relay_state or OwnState(RelayNode(NODES)),
        )


class RelayNode:
    """A relay chain node, possibly one that has lost its state; ``on_read`` runs at each look into it."""

    def __init__(self, nodes: Mapping[bytes, bytes], on_read: Callable[[], None] = lambda: None) -> None:
        self._nodes = nodes
        self._on_read = on_read

    def state_at(self, root: bytes) -> Mapping[bytes, bytes]:
        self._on_read()
        if root not in self._nodes:
            raise StateUnavailable(root)
        return self._nodes


@pytest.fixture(scope="session")
def guests() -> Guests:
    return Guests()


@pytest.fixture
def relay_node() -> Callable[..., RelayNode]:
    """A relay node at the root that candidates are judged at; ``relay_node(pruned=True)`` has lost it."""

    def make(*, pruned: bool = False, on_read: Callable[[], None] = lambda: None) -> RelayNode:
        return RelayNode({} if pruned else NODES, on_read)

    return make


@pytest.fixture(scope="session")
def cache_directory_of_tests(tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    return tmp_path_factory.mktemp("compiled")


PATIENT = ExecutorParams(backing_timeout=30.0, approval_timeout=60.0, max_memory_pages=64)
"""Time enough on the busiest machine, and little memory, so that who uses it up does so soon."""


@pytest.fixture(scope="session")
def host(cache_directory_of_tests) -> Iterator[PvfHost]:  # type: ignore[no-untyped-def]
    with PvfHost(PATIENT, cache=cache_directory_of_tests, workers=2) as host:
        yield host


@pytest.fixture
def make_host(cache_directory_of_tests) -> Iterator[Callable[..., PvfHost]]:  # type: ignore[no-untyped-def]
    """Hosts of one's own, closed at the end."""
    hosts: list[PvfHost] = []

    def make(params: ExecutorParams = PATIENT, **options: object) -> PvfHost:
        host = PvfHost(params, **{"cache": cache_directory_of_tests, "workers": 1, **options})  # type: ignore[arg-type]
        hosts.append(host)
        return host

    yield make
    for host in hosts:
        host.close()


@pytest.fixture(scope="session")
def hasty(cache_directory_of_tests) -> Iterator[PvfHost]:  # type: ignore[no-untyped-def]
    """A host for guests that never end."""
    params = ExecutorParams(backing_timeout=0.3, approval_timeout=0.4, max_memory_pages=64)
    with PvfHost(params, cache=cache_directory_of_tests, workers=1) as host:
        yield host


@pytest.fixture(scope="session")
def eventually() -> Callable[[Callable[[], bool]], None]:
    """Wait until a condition holds, for a generous while."""

    def wait(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not condition():
            if time.monotonic() > end:
                pytest.fail("it never came true")
            time.sleep(0.01)

    return wait
