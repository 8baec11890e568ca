"""What a runtime says about itself, and what can be written with it: storage keys, calls, signed extrinsics."""

from pileus.metadata.metadata import BadMetadata as BadMetadata
from pileus.metadata.metadata import Call as Call
from pileus.metadata.metadata import Metadata as Metadata
from pileus.metadata.metadata import Pallet as Pallet
from pileus.metadata.metadata import StorageItem as StorageItem
from pileus.metadata.metadata import UnknownName as UnknownName
