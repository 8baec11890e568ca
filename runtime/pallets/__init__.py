"""The pallets of the demo chain, one module or package each."""
