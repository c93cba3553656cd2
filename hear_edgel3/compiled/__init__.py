"""What compiled kernels are written with.

    jit        numba, and a folder for what it has compiled
    code       how numba turns kernels and their parts into machine code
    calls      calling kernels from kernels
    told       what a kernel is told in many numbers
    primitive  what primitives are: types, and writing LLVM code
    simd       the primitives that kernels are written with
    aligned    memory for them

Nothing here is imported before it is used: numba takes a third of a second.
"""
