set(test_libraries vitrine_kernels vitrine_patching vitrine_data)
find_program(VITRINE_PYTHON python3 PATHS /usr/bin NO_DEFAULT_PATH)
set(test_definitions VITRINE_PYTHON="${VITRINE_PYTHON}" VITRINE_CONSTRUCTED="${PROJECT_SOURCE_DIR}/scripts/make-constructed-models")
