"""The numba engine: L3 nets on the CPU, faster the more of their weights are zero.

    compiled    numba, and a place for what it has compiled
    vectors     the primitives that kernels are written with
    memory      memory for them
    place       where a layer stands
    patches     the layout of images, explained; taking a patch of one and putting a tile into one
    entrance    patches of the input, or of what the net's first layer makes of it
    layer       what all kinds of layers have in common
    direct      convolution with the weights that are not zero
    transforms  the maths of Winograd's algorithm
    winograd    convolution by it, for layers with few zeros
    fourier     the Fourier transform of frames
    spectrogram the front end
    settings    what suits a machine
    tuning      finding that
    net         layers to a net, threads over images

Nothing here is imported before it is used: numba takes a third of a second.
"""
