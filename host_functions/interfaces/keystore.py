"""Keys of the node: the part of ``sp_io::crypto`` that generates and signs [sp-io].

``id`` is the 4-byte key type (``babe``, ``aura`` …). Never part of block execution.
"""

from typing import Annotated

from host_functions.abi import Bytes, Bytes4, Bytes32, Bytes33, OptionBytes, Wire
from host_functions.declare import host_function

PublicKeys = Annotated[tuple[bytes, ...], Wire(("i64",), "scale", scale="Vec<[u8; 32]>")]
EcdsaPublicKeys = Annotated[tuple[bytes, ...], Wire(("i64",), "scale", scale="Vec<[u8; 33]>")]
OptionSignature = Annotated[bytes | None, Wire(("i64",), "scale", scale="Option<[u8; 64]>")]
OptionEcdsaSignature = Annotated[bytes | None, Wire(("i64",), "scale", scale="Option<[u8; 65]>")]


@host_function("crypto")
def ed25519_public_keys(id: Bytes4) -> PublicKeys:
    """Ed25519 keys of a type."""


@host_function("crypto")
def ed25519_generate(id: Bytes4, seed: OptionBytes) -> Bytes32:
    """Make a key, from the secret URI ``seed`` (UTF-8) if there is one, and keep it; its public key."""


@host_function("crypto")
def ed25519_sign(id: Bytes4, pub_key: Bytes32, msg: Bytes) -> OptionSignature:
    """Signature of ``msg``, or ``None`` without the key."""


@host_function("crypto")
def sr25519_public_keys(id: Bytes4) -> PublicKeys:
    """sr25519 keys of a type."""


@host_function("crypto")
def sr25519_generate(id: Bytes4, seed: OptionBytes) -> Bytes32:
    """As `ed25519_generate`."""


@host_function("crypto")
def sr25519_sign(id: Bytes4, pub_key: Bytes32, msg: Bytes) -> OptionSignature:
    """As `ed25519_sign`, in the context ``substrate``."""


@host_function("crypto")
def ecdsa_public_keys(id: Bytes4) -> EcdsaPublicKeys:
    """secp256k1 keys of a type, compressed."""


@host_function("crypto")
def ecdsa_generate(id: Bytes4, seed: OptionBytes) -> Bytes33:
    """As `ed25519_generate`."""


@host_function("crypto")
def ecdsa_sign(id: Bytes4, pub_key: Bytes33, msg: Bytes) -> OptionEcdsaSignature:
    """Signature of ``blake2_256(msg)``, or ``None`` without the key."""


@host_function("crypto")
def ecdsa_sign_prehashed(id: Bytes4, pub_key: Bytes33, msg: Bytes32) -> OptionEcdsaSignature:
    """Signature of the digest ``msg``, or ``None`` without the key."""
