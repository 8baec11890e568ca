"""What Ethereum-compatible chains commit to: RLP, the Merkle Patricia trie, receipts and headers. Reading only.

For verifying, on our chain, what a contract on an EVM parachain logged. The guest is pure, so this is its own code;
the tests judge it by ``rlp`` and py-trie (``trie``).
"""
