"""Translates the authors' checkpoints into safetensors files for hear_edgel3 and the Hugging Face Hub.

``python -m weights_convert --help`` shows the commands.
"""
