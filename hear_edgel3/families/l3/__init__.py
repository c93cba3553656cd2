"""The L3 family: sparse L3-Net (EdgeL3) and SEA."""
