"""Front ends: one module per family, each turning windows of samples into the image its nets read."""
