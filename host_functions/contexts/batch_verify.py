"""The retired signature batches: every signature is verified at once, the batch remembers whether one failed.

Follows ``sp_io::crypto`` since batching was removed, with its ``VerificationExtDeprecated`` [sp-io].
"""

from __future__ import annotations

from host_functions.contexts.base import HostContext
from host_functions.errors import PileusError
from host_functions.interfaces import batch_verify, crypto

__all__ = ["BatchVerify", "NoSuchBatch"]


class NoSuchBatch(PileusError):
    """A batch was opened twice, or closed without being open; polkadot-sdk traps [sp-io]."""


class BatchVerify(HostContext, complete=(batch_verify,)):
    """One batch at a time."""

    batch: bool | None = None
    """Whether all signatures of the open batch were right; ``None`` when none is open."""

    @batch_verify.start_batch_verify.implement
    def start_batch_verify(self) -> None:
        if self.batch is not None:
            raise NoSuchBatch("a batch of signatures is open already")
        self.batch = True

    @batch_verify.finish_batch_verify.implement
    def finish_batch_verify(self) -> bool:
        if self.batch is None:
            raise NoSuchBatch("no batch of signatures is open")
        valid, self.batch = self.batch, None
        return valid

    @batch_verify.ed25519_batch_verify.implement
    def ed25519_batch_verify(self, sig: bytes, msg: bytes, pub_key: bytes) -> bool:
        return self._count(self.resolve(crypto.ed25519_verify)(sig, msg, pub_key))

    @batch_verify.sr25519_batch_verify.implement
    def sr25519_batch_verify(self, sig: bytes, msg: bytes, pub_key: bytes) -> bool:
        return self._count(self.resolve(crypto.sr25519_verify)(sig, msg, pub_key))

    @batch_verify.ecdsa_batch_verify.implement
    def ecdsa_batch_verify(self, sig: bytes, msg: bytes, pub_key: bytes) -> bool:
        return self._count(self.resolve(crypto.ecdsa_verify)(sig, msg, pub_key))

    def _count(self, valid: bool) -> bool:
        if self.batch is not None:
            self.batch = self.batch and valid
        return valid
