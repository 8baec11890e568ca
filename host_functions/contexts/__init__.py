"""Contexts: who answers the host functions, and from what, in each place a runtime is executed."""

from host_functions.contexts.authoring import AuthoringContext as AuthoringContext
from host_functions.contexts.base import HostContext as HostContext
from host_functions.contexts.base import OverriddenContext as OverriddenContext
from host_functions.contexts.block import BlockContext as BlockContext
from host_functions.contexts.families import LogLine as LogLine
from host_functions.contexts.import_block import ImportContext as ImportContext
from host_functions.contexts.offchain import OffchainContext as OffchainContext
from host_functions.contexts.validation import ValidationContext as ValidationContext
