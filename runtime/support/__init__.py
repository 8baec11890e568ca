"""What pallets are made of: storage items, calls, events, errors, weights, inherents ([frame-support])."""
