set(test_libraries vitrine_grammar)
