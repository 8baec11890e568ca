"""What a runtime says about itself, and what can be written with it: storage keys, calls, signed extrinsics."""

from pileus.metadata.extrinsic import ChainIdentity as ChainIdentity
from pileus.metadata.extrinsic import EthereumSigner as EthereumSigner
from pileus.metadata.extrinsic import Signer as Signer
from pileus.metadata.extrinsic import Sr25519Signer as Sr25519Signer
from pileus.metadata.extrinsic import address_of as address_of
from pileus.metadata.extrinsic import signed_extrinsic as signed_extrinsic
from pileus.metadata.metadata import Metadata as Metadata
from pileus.metadata.parts import BadMetadata as BadMetadata
from pileus.metadata.parts import Call as Call
from pileus.metadata.parts import Event as Event
from pileus.metadata.parts import Pallet as Pallet
from pileus.metadata.parts import StorageItem as StorageItem
from pileus.metadata.parts import UnknownName as UnknownName
from pileus.metadata.parts import Variant as Variant
