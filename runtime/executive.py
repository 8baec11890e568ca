"""Executive: runs a block over the pallets.

Follows ``frame_executive`` [frame-executive], phase by phase: initialize, apply each extrinsic, finalize;
`execute_block` does the three and compares the header it computed with the one it was given. Fees are taken of
calls that declare one, before dispatch and whatever comes of it. Not modelled: fees by weight and length for all
calls (a tip is refused), multi-block migrations, ``on_idle``, offchain workers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from host_functions.interfaces import crypto
from runtime.pallets.parachain_system import ParachainSystem
from runtime.pallets.system import LastRuntimeUpgradeInfo, System
from runtime.primitives.block import Block
from runtime.primitives.errors import InvalidBlock, ScaleError
from runtime.primitives.extrinsic import Ed25519, Extrinsic, ExtrinsicSignature, Id, SignedPayload, Sr25519
from runtime.primitives.header import Header
from runtime.primitives.inherent import InherentData
from runtime.support.construct import Pallets
from runtime.support.dispatch import (
    NONE,
    DispatchError,
    InvalidTransaction,
    Origin,
    OriginKind,
    TransactionValidity,
    encode_dispatch_result,
)
from runtime.support.pallet import Call
from runtime.support.weights import DispatchClass, DispatchInfo, Weight

ALL_EXTRINSICS = 0
"""``ExtrinsicInclusionMode::AllExtrinsics``, the result of ``Core_initialize_block`` [sp-api]."""


class Executive:
    """Block execution for one runtime."""

    def __init__(
        self,
        system: System,
        parachain_system: ParachainSystem,
        pallets: Pallets,
        *,
        charge: Callable[[bytes, int], None] | None = None,
    ) -> None:
        """``parachain_system`` turns declared proof sizes into measured ones; ``charge`` takes a fee from an
        account, or raises `DispatchError`; without it, calls that cost a fee are not admitted.
        """
        self.system = system
        self.parachain_system = parachain_system
        self.pallets = pallets
        self.charge = charge

    # A whole block.

    def execute_block(self, block: Block) -> None:
        """Execute a block whose seal is stripped, and require its header. Raises `InvalidBlock`."""
        # EXECUTE
        self.initialize_block(block.header)
        self._apply_extrinsics(block.extrinsics)
        computed = self.finalize_block()

        # FINAL CHECKS
        _final_checks(block.header, computed)

    def _apply_extrinsics(self, extrinsics: Sequence[bytes]) -> None:
        length = sum(map(len, extrinsics))
        if length > self.system.limits.max_length:
            # Refused at the extrinsic that exceeds the limit, too; but decoding calls costs many times their bytes.
            raise InvalidBlock(f"{length} bytes of extrinsics are more than any PoV holds")
        inherents_are_over = False
        for position, encoded in enumerate(extrinsics):
            try:
                extrinsic, call = self._decode(encoded)
                if not self._is_inherent(extrinsic, call):
                    inherents_are_over = True
                elif inherents_are_over:
                    raise InvalidBlock(f"Invalid inherent position for extrinsic at index {position}")
                self._apply(encoded, extrinsic, call)
            except InvalidTransaction as error:
                raise InvalidBlock(f"extrinsic {position}: {error}") from None
            except ScaleError as error:
                raise InvalidBlock(f"extrinsic {position} does not decode: {error}") from None

    # The steps, as a block author calls them.

    def initialize_block(self, header: Header) -> int:
        """Begin the block that ``header`` announces: parent, number and pre-runtime digests count.

        Returns `ALL_EXTRINSICS`.
        """
        self.system.reset_events()
        self.system.initialize(header)
        self._note_runtime_version()
        weight = Weight()
        for pallet in self.pallets:
            weight += pallet.on_initialize(header.number)
        self.system.register_extra_weight(weight, DispatchClass.MANDATORY)
        self.system.note_finished_initialize()
        return ALL_EXTRINSICS

    def apply_extrinsic(self, encoded: bytes) -> bytes:
        """Apply one extrinsic; SCALE of ``ApplyExtrinsicResult``.

        An inadmissible extrinsic gives an error result and may leave changes: the author rolls them back.
        """
        try:
            extrinsic, call = self._decode(encoded)
            return b"\x00" + self._apply(encoded, extrinsic, call)
        except ScaleError:
            return b"\x01" + InvalidTransaction(TransactionValidity.CALL).encode()
        except InvalidTransaction as error:
            return b"\x01" + error.encode()

    def finalize_block(self) -> Header:
        """End the block and compute its header, without seal."""
        self.system.note_finished_extrinsics()
        number = self.system.Number.get()
        for pallet in self.pallets:
            pallet.on_finalize(number)
        return self.system.finalize()

    def inherent_extrinsics(self, data: InherentData) -> tuple[bytes, ...]:
        """The inherents that the pallets make of the author's data, encoded, in the order of the pallets."""
        calls = [pallet.create_inherent(data) for pallet in self.pallets]
        return tuple(Extrinsic.bare(call.encode()).encode() for call in calls if call is not None)

    # One extrinsic.

    def _decode(self, encoded: bytes) -> tuple[Extrinsic, Call]:
        extrinsic = Extrinsic.decode(encoded)
        return extrinsic, self.pallets.decode_call(extrinsic.call)

    def _is_inherent(self, extrinsic: Extrinsic, call: Call) -> bool:
        return extrinsic.signature is None and call.pallet.is_inherent(call)

    def _apply(self, encoded: bytes, extrinsic: Extrinsic, call: Call) -> bytes:
        """SCALE of the ``DispatchOutcome``. Raises `InvalidTransaction`."""
        # CHECK SIGNATURE
        if extrinsic.signature is None:
            if not call.pallet.is_inherent(call):
                raise InvalidTransaction(TransactionValidity.CALL, f"{call} must be signed")
            origin = NONE
        else:
            origin = Origin(OriginKind.SIGNED, self._check_signature(extrinsic, extrinsic.signature))

        # CHECK EXTENSIONS
        before = self.parachain_system.proof_size()
        self.system.note_extrinsic(encoded)
        spec = call.function.spec
        info = DispatchInfo(call.function.weight(*call.arguments), spec.dispatch_class)
        if origin.account is not None and extrinsic.signature is not None:
            self.system.check_nonce(origin.account, extrinsic.signature.nonce)
            if extrinsic.signature.tip:
                raise InvalidTransaction(TransactionValidity.PAYMENT, "this chain takes no tips")
        self.system.check_weight(info, len(encoded))
        if call.function.fee is not None and origin.account is not None:
            self._charge(origin.account, call.function.fee(*call.arguments))

        # DISPATCH
        error = self.pallets.dispatch(call, origin)
        if error is not None and spec.dispatch_class is DispatchClass.MANDATORY:
            raise InvalidTransaction(TransactionValidity.BAD_MANDATORY, f"{call}: {error}")

        # ACCOUNT
        self.parachain_system.reclaim_weight(info, before)
        self.system.note_applied_extrinsic(None if error is None else error.encode(), info)
        return encode_dispatch_result(error)

    def _charge(self, account: bytes, fee: int) -> None:
        """Take a fee, outside the call's storage layer: it is gone also when the call fails. Raises
        `InvalidTransaction`.
        """
        if self.charge is None:
            raise InvalidTransaction(
                TransactionValidity.PAYMENT, "the call costs a fee, and nobody takes one"
            )
        try:
            self.charge(account, fee)
        except DispatchError as error:
            raise InvalidTransaction(TransactionValidity.PAYMENT, f"fee of {fee}: {error}") from None

    def _check_signature(self, extrinsic: Extrinsic, signature: ExtrinsicSignature) -> bytes:
        """The signing account, once the signature covers this call on this chain. Raises
        `InvalidTransaction`.
        """
        if not isinstance(signature.address, Id):
            raise InvalidTransaction(TransactionValidity.BAD_SIGNER, "only MultiAddress::Id signs here")
        account = signature.address.account
        genesis = self.system.BlockHash.get(0)
        born = signature.era.birth(self.system.Number.get())
        birth = genesis if born == 0 else self.system.BlockHash.get(born)  # 0: an immortal era
        if birth is None:
            raise InvalidTransaction(
                TransactionValidity.ANCIENT_BIRTH_BLOCK, "the era began before the kept hashes"
            )
        payload = SignedPayload(
            extrinsic.call,
            signature.era,
            signature.nonce,
            signature.tip,
            self.system.version.spec_version,
            self.system.version.transaction_version,
            genesis or bytes(32),
            birth,
        ).signing_bytes()
        proof = signature.signature
        if isinstance(proof, Sr25519):
            good = crypto.sr25519_verify(proof.signature, payload, account)
        elif isinstance(proof, Ed25519):
            good = crypto.ed25519_verify(proof.signature, payload, account)
        else:
            good = False
        if not good:
            raise InvalidTransaction(TransactionValidity.BAD_PROOF, "the signature does not cover this call")
        return account

    def _note_runtime_version(self) -> None:
        """Remember which version runs the chain; a change is where migrations would hook in."""
        version = self.system.version
        now = LastRuntimeUpgradeInfo(version.spec_version, version.spec_name)
        if self.system.LastRuntimeUpgrade.get() != now:
            self.system.LastRuntimeUpgrade.put(now)


def _final_checks(claimed: Header, computed: Header) -> None:
    """The claimed header must be the computed one; says what differs, in the reference's order and words."""
    if len(claimed.digest) != len(computed.digest):
        raise InvalidBlock(
            f"Number of digest items must match that calculated: {len(claimed.digest)} != {len(computed.digest)}"
        )
    for position, (given, own) in enumerate(zip(claimed.digest, computed.digest, strict=True)):
        if given != own:
            raise InvalidBlock(f"Digest item must match that calculated: item {position}")
    if claimed.state_root != computed.state_root:
        raise InvalidBlock(
            f"Storage root must match that calculated: 0x{claimed.state_root.hex()} != 0x{computed.state_root.hex()}"
        )
    if claimed.extrinsics_root != computed.extrinsics_root:
        raise InvalidBlock("Transaction trie must be valid")
