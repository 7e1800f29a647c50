"""What kernels for the processor are made of: vectors, compilation that is kept, threads, memory."""
