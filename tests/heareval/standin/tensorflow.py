"""Stands for TensorFlow where it is not installed: what heareval's embeddings runner asks of it for a torch model."""


class Module:
    """What a model of TensorFlow would be an instance of."""


class test:
    """tensorflow.test."""

    @staticmethod
    def is_gpu_available(**_: object) -> bool:
        """The runner stops if torch has a GPU and TensorFlow has none; torch models need only the former."""
        return True
