"""Detectors: nets and heads that were trained on labelled sounds."""
