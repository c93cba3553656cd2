"""What runs a net: one module per engine, and the one that chooses among them."""
