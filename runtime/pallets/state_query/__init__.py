"""State queries, the pallet: see `runtime.pallets.state_query.pallet`."""

from runtime.pallets.state_query.handler import QueryHandler as QueryHandler
from runtime.pallets.state_query.pallet import StateQuery as StateQuery
