set(test_libraries vitrine_kernels vitrine_decode PkgConfig::HWY)
