"""The native engine: Cython over C kernels, without the GIL while numbers are being worked on.

``c/`` holds the kernels, compiled once per instruction set; ``dispatch`` chooses the set;
``kernels`` offers each operation on arrays; ``ops`` lowers a program to C structs, which ``engine``
runs for inference and ``trainer`` for training.
"""
