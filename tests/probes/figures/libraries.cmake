set(test_libraries vitrine_figures PkgConfig::PNG)
