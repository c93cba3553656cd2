"""A dataset of embeddings as one HTML page to look at and to listen to.

The page needs nothing but itself (and the audio files, unless previews of them are inside), and no network: what it
shows is computed here. Its clips are the files of the dataset, each with the mean of its embeddings
(:mod:`hear_edgel3.dataset.file_means`). :mod:`projection` lays them out, :mod:`survey` looks into the
audio files, :mod:`contents` says what the page knows, and :mod:`page` puts it together; :mod:`build` does all of that.
"""
