set(test_libraries vitrine_experiments)
set(test_definitions VITRINE_PROGRAM="$<TARGET_FILE:vitrine>")
