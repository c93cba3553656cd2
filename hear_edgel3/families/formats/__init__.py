"""Readers of the file formats in which weights are published. They run nothing that stands in a file."""

# How names of such files end, packed ones included.
KERAS_ENDINGS = (".h5", ".hdf5", ".h5.gz", ".hdf5.gz")
PYTORCH_ENDINGS = (".pt", ".pth", ".ckpt")
