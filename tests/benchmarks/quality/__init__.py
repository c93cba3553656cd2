"""How good embeddings are: linear probes on three real labelled tasks, the same for every net.

The tasks are made from Debian packages that no net here may be trained on: types of drums (`drums`), instruments of a
soundfont (`instruments`) and spoken languages (`languages`). Each module says how its labels come about, what is kept
apart by the folds, and what the task does not tell.
"""
