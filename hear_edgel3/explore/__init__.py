"""A dataset of embeddings as one HTML page to look at and to listen to.

The page needs nothing but itself (and the audio files, unless previews of them are inside), and no network: what it
shows is computed here. :mod:`clips` reads the dataset, :mod:`projection` lays it out, :mod:`survey` looks into the
audio files, :mod:`contents` says what the page knows, and :mod:`page` puts it together; :mod:`build` does all of that.
"""
