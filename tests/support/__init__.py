"""What several tests share: the float64 oracle, seeded checkpoints, loopback servers."""
