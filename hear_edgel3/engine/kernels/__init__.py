"""Compiled kernels, of which the numba engine makes nets: on the CPU, faster the more of the weights are zero.

They are written with what :mod:`hear_edgel3.compiled` has.

    shape           the shape of a layer
    patches         the layout of images, explained; taking a patch of one and putting a tile into one
    first_layer     patches of the input, or of what the net's first layer makes of it
    layer           what all kinds of layers have in common
    direct          convolution with the weights that are not zero
    winograd_maths  the transforms of Winograd's algorithm
    winograd        convolution by it, for layers with few zeros
    fft             the Fourier transform of frames
    mel             the front end: mel spectrograms in decibels
    settings        what suits a machine
    tuning          finding that
    network         from layers to a net
    threads         threads over images

And for nets of inverted residuals:

    strips_of_time  the layout of images, explained
    tile_ops        more primitives
    masked_rows     rows of strips: their halos, masks and sums
    entrance        the first convolution
    pointwise       pointwise convolutions and linear layers
    residual        a whole inverted residual
    dynamic_facts   what kernels of dynamic blocks are told
    dynamic         what a dynamic block makes for an image that has vectors for itself
    dynamic_by_lane the same for images that share vectors, and their convolutions
    dynamic_alone   the same for images alone
    pooling         means and maxima of maps
    log_mel         the front end: logarithmic mel spectrograms
    images          these alone, for nets that run in torch
    residual_parts  weights, memory, and places of values
    dynamic_parts   the same of dynamic blocks
    residual_net    from a description to a net
    pixel_ops       primitives for images alone
    one_image       their kernels, and their layout, explained: channels in the lanes
    alone           from a description to a net for them

What nets and front ends say of themselves is in :mod:`hear_edgel3.families.kernel_description` and in
:mod:`hear_edgel3.families.kernel_residuals`. Nothing here is imported before it is used: numba takes a third of a
second.
"""
