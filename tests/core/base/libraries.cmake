set(test_libraries vitrine_base)
