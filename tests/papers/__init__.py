"""Tests of README.md and docs, and what runs their commands."""
