"""The collator: a parachain node that builds blocks, proves them, and fetches messages from siblings."""

from pileus.collator.collator import Collation as Collation
from pileus.collator.collator import Collator as Collator
from pileus.collator.node import ParachainNode as ParachainNode
