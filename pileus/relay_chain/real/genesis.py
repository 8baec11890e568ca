"""A relay chain's genesis state, made into one that we can run: our validators' keys, our parachains.

Nobody but their owners can sign for the validators of a chain spec. So each of their para-validator keys is replaced,
wherever its bytes stand in the state (session keys, session info, active keys), by a development key of ours. The
parachains are written as ``polkadot_runtime_parachains::paras`` would store them at genesis [polkadot-paras], in place
of those that the spec has, whose collators are not here. A development spec with fewer validators than are needed gets
more, from the first change of the session on: the session pallet takes its next set from the state too.

Not modelled: registration through the registrar pallet, leases, deposits, stakes of added validators.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from host_functions.errors import PileusError
from host_functions.state_machine import Storage
from pileus.chain_spec import CODE
from pileus.keyring import Keypair
from runtime.primitives import relay_keys
from runtime.primitives.errors import ScaleError
from runtime.primitives.hashing import blake2_256, twox_64_concat
from runtime.primitives.scale import byte_vec, compact_u32, h256, u32, vec

__all__ = [
    "ParaRegistration",
    "UnsuitableRelayChain",
    "active_validator_keys",
    "relay_genesis",
    "validators_needed",
]

ACTIVE_VALIDATOR_KEYS: Final = relay_keys.storage_prefix("ParasShared", "ActiveValidatorKeys")
"""``Vec<ValidatorId>``, in the order of the session's validator set."""
PARACHAINS: Final = relay_keys.storage_prefix("Paras", "Parachains")
PARA_LIFECYCLES: Final = relay_keys.storage_prefix("Paras", "ParaLifecycles")
CODE_BY_HASH: Final = relay_keys.storage_prefix("Paras", "CodeByHash")
CODE_BY_HASH_REFS: Final = relay_keys.storage_prefix("Paras", "CodeByHashRefs")
ACCOUNT_LENGTH: Final = 32
"""Bytes of an account id."""
LIFECYCLE_PARACHAIN: Final = b"\x02"
"""``ParaLifecycle::Parachain``."""

SESSION_VALIDATORS: Final = relay_keys.storage_prefix("Session", "Validators")
"""``Vec<AccountId>``."""
SESSION_QUEUED_KEYS: Final = relay_keys.storage_prefix("Session", "QueuedKeys")
"""``Vec<(AccountId, Keys)>``: the set of the next session. How long `Keys` are depends on the runtime."""
SESSION_NEXT_KEYS: Final = relay_keys.storage_prefix("Session", "NextKeys")

LEAST_VALIDATORS: Final = 2
"""One alone makes nothing available on the runtimes of 2022, which round the threshold up beyond it; and the erasure
coding of a candidate needs two."""
MAX_VALIDATORS: Final = 10_000

MAX_PATCHED_VALUE: Final = 200_000
"""Bytes. Larger values are code, which holds no keys of validators."""

_keys = vec(h256, max_items=MAX_VALIDATORS)
_para_ids = vec(u32)


class UnsuitableRelayChain(PileusError):
    """A chain spec that no relay chain for parachains can be run from."""


@dataclass(frozen=True, slots=True)
class ParaRegistration:
    """A parachain as the relay chain's genesis knows it."""

    para_id: int
    head_data: bytes = field(repr=False)
    """For Cumulus chains the SCALE header of the para's genesis block."""
    validation_code: bytes = field(repr=False)
    relay_entries: Mapping[bytes, bytes] = field(default_factory=dict, repr=False)
    """Further keys of relay state that the para's genesis takes for granted."""

    @property
    def validation_code_hash(self) -> bytes:
        """``blake2_256`` of the code, 32 bytes."""
        return blake2_256(self.validation_code)


def active_validator_keys(top: Mapping[bytes, bytes]) -> tuple[bytes, ...]:
    """Public keys of the session's para validators. Raises `UnsuitableRelayChain`."""
    stored = top.get(ACTIVE_VALIDATOR_KEYS)
    if stored is None:
        raise UnsuitableRelayChain(
            "the genesis state has no ParasShared.ActiveValidatorKeys: "
            "its runtime has no parachains pallets of today, or nobody validates"
        )
    try:
        keys = _keys.decode(stored)
    except ScaleError as error:
        raise UnsuitableRelayChain(f"ParasShared.ActiveValidatorKeys: {error}") from error
    if not keys:
        raise UnsuitableRelayChain("ParasShared.ActiveValidatorKeys is empty: nobody validates")
    return keys


def validators_needed(top: Mapping[bytes, bytes], paras: int) -> int:
    """How many validators a run with this many parachains has. Raises `UnsuitableRelayChain`.

    All that the state has, and one at least for the group of each core.
    """
    return max(len(active_validator_keys(top)), paras, LEAST_VALIDATORS)


def relay_genesis(
    storage: Storage, validators: Sequence[Keypair], paras: Sequence[ParaRegistration]
) -> Storage:
    """`storage` with `validators` in place of its own and beside them, and with `paras` registered.

    Raises `UnsuitableRelayChain` for a state without validators or with child tries, and `ValueError` for fewer
    `validators` than it has.
    """
    if storage.children:
        raise UnsuitableRelayChain("the genesis state has child tries, which this node does not keep")
    replaced = active_validator_keys(storage.top)
    keys = [validator.public_key for validator in validators]
    if len(keys) < len(replaced):
        raise ValueError(f"{len(keys)} keypairs for {len(replaced)} validators")
    top = _with_keys(storage.top, dict(zip(replaced, keys, strict=False)))
    if len(keys) > len(replaced):
        _add_validators(top, keys[0], keys[len(replaced) :])
    top[PARACHAINS] = _para_ids.encode(tuple(sorted(para.para_id for para in paras)))
    references: dict[bytes, int] = {}
    for para in paras:
        code_hash = para.validation_code_hash
        references[code_hash] = references.get(code_hash, 0) + 1
        top |= {
            PARA_LIFECYCLES + twox_64_concat(u32.encode(para.para_id)): LIFECYCLE_PARACHAIN,
            relay_keys.para_head(para.para_id): byte_vec.encode(para.head_data),
            relay_keys.current_code_hash(para.para_id): code_hash,
            relay_keys.most_recent_context(para.para_id): u32.encode(0),
            CODE_BY_HASH + code_hash: byte_vec.encode(para.validation_code),
            **para.relay_entries,
        }
    top |= {CODE_BY_HASH_REFS + code_hash: u32.encode(count) for code_hash, count in references.items()}
    return Storage(top)


def _add_validators(top: dict[bytes, bytes], present: bytes, added: Sequence[bytes]) -> None:
    """Let further validators be elected for the next session: their session keys are those of a present one, with
    the para-validator key replaced. Raises `UnsuitableRelayChain`."""
    try:
        accounts = _keys.decode(top.get(SESSION_VALIDATORS, b""))
        queued = top.get(SESSION_QUEUED_KEYS, b"")
        count, start = compact_u32.decode_prefix(queued)
        entry, rest = divmod(len(queued) - start, max(count, 1))
        if not count or rest or entry <= ACCOUNT_LENGTH:
            raise ScaleError(
                f"{len(queued)} bytes are not {count} entries of one length", what="Session.QueuedKeys"
            )
    except ScaleError as error:
        raise UnsuitableRelayChain(
            f"the genesis state has too few validators, and none can be added: {error}"
        ) from error
    entries = [queued[at : at + entry] for at in range(start, len(queued), entry)]
    template = next((one[ACCOUNT_LENGTH:] for one in entries if present in one[ACCOUNT_LENGTH:]), None)
    if template is None:
        raise UnsuitableRelayChain(
            "the genesis state has too few validators, and none can be added: no session key is a validator's"
        )
    for key in added:
        account = blake2_256(key)
        keys = template.replace(present, key)
        accounts = (*accounts, account)
        entries.append(account + keys)
        top[SESSION_NEXT_KEYS + twox_64_concat(account)] = keys
    top[SESSION_VALIDATORS] = _keys.encode(accounts)
    top[SESSION_QUEUED_KEYS] = compact_u32.encode(len(entries)) + b"".join(entries)


def _with_keys(top: Mapping[bytes, bytes], replacements: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    """All values with the bytes of each key replaced. Keys are 32 random bytes: they stand for nothing else.

    At once and not one after the other: a new key may be an old one of another validator.
    """
    old_keys = re.compile(b"|".join(map(re.escape, replacements)))
    patched = dict(top)
    for key, value in top.items():
        if key == CODE or not 32 <= len(value) <= MAX_PATCHED_VALUE:
            continue
        patched[key] = old_keys.sub(lambda found: replacements[found[0]], value)
    return patched
