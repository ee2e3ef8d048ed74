set(test_libraries vitrine_kernels)
