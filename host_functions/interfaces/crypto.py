"""Signature verification and public-key recovery: ``sp_io::crypto`` [sp-io]. All pure.

Not declared: key generation and signing, which need a keystore.
"""

from host_functions.abi import Bool, Bytes, Bytes32, Bytes33, Bytes64, Bytes65, RecoverResult
from host_functions.declare import host_function


@host_function("crypto", pure=True)
def ed25519_verify(sig: Bytes64, msg: Bytes, pub_key: Bytes32) -> Bool:
    """Whether ``sig`` is an Ed25519 signature of ``msg``."""


@host_function("crypto", version=1, method="sr25519_verify", pure=True)
def sr25519_verify_version_1(sig: Bytes64, msg: Bytes, pub_key: Bytes32) -> Bool:
    """As `sr25519_verify`, also accepting signatures made before schnorrkel 0.8."""


@host_function("crypto", version=2, pure=True)
def sr25519_verify(sig: Bytes64, msg: Bytes, pub_key: Bytes32) -> Bool:
    """Whether ``sig`` is an sr25519 signature of ``msg`` in the context ``substrate``."""


@host_function("crypto", version=1, method="ecdsa_verify", pure=True)
def ecdsa_verify_version_1(sig: Bytes65, msg: Bytes, pub_key: Bytes33) -> Bool:
    """As `ecdsa_verify`, also accepting overflowing components of the signature."""


@host_function("crypto", version=2, pure=True)
def ecdsa_verify(sig: Bytes65, msg: Bytes, pub_key: Bytes33) -> Bool:
    """Whether ``sig`` is an ECDSA (secp256k1) signature of ``blake2_256(msg)``."""


@host_function("crypto", pure=True)
def ecdsa_verify_prehashed(sig: Bytes65, msg: Bytes32, pub_key: Bytes33) -> Bool:
    """Whether ``sig`` is an ECDSA (secp256k1) signature of the 32-byte digest ``msg``."""


@host_function("crypto", version=1, method="secp256k1_ecdsa_recover", pure=True)
def secp256k1_ecdsa_recover_version_1(sig: Bytes65, msg: Bytes32) -> RecoverResult:
    """As `secp256k1_ecdsa_recover`, also accepting overflowing components of the signature."""


@host_function("crypto", version=2, pure=True)
def secp256k1_ecdsa_recover(sig: Bytes65, msg: Bytes32) -> RecoverResult:
    """Uncompressed public key (64 bytes) that signed the digest ``msg``."""


@host_function("crypto", version=1, method="secp256k1_ecdsa_recover_compressed", pure=True)
def secp256k1_ecdsa_recover_compressed_version_1(sig: Bytes65, msg: Bytes32) -> RecoverResult:
    """As `secp256k1_ecdsa_recover_compressed`, also accepting overflowing components of the signature."""


@host_function("crypto", version=2, pure=True)
def secp256k1_ecdsa_recover_compressed(sig: Bytes65, msg: Bytes32) -> RecoverResult:
    """Compressed public key (33 bytes) that signed the digest ``msg``."""
