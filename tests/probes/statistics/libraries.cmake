set(test_libraries vitrine_metrics)
