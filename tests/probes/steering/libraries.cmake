set(test_libraries vitrine_steering)
