"""The numba engine: L3 nets on the CPU, faster the more of their weights are zero.

    compiled    numba, and a place for what it has compiled
    vectors     the primitives that kernels are written with
    memory      memory for them
    place       where a layer stands
    patches     the layout of images, explained; taking a patch of one and putting a tile into one
    direct      convolution with the weights that are not zero
    winograd    convolution by Winograd's algorithm, for layers with few zeros
    entrance    the first two layers in one
    fourier     the Fourier transform of frames
    spectrogram the front end
    settings    what suits a machine
    tuning      finding that
    net         layers to a net, threads over images

Nothing here is imported before it is used: numba takes a third of a second.
"""
