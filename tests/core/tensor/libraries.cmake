set(test_libraries vitrine_tensor)
