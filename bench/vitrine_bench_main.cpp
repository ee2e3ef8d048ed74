// vitrine-bench [MODEL...] [Google Benchmark's flags]
#include <benchmark/benchmark.h>

#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "bench/suite.h"
#include "kernels/kernels.h"

int main(int count, char** words) {
  std::vector<char*> flags{words[0]};
  std::vector<std::string> models;
  for (int i = 1; i < count; ++i) {
    if (words[i][0] == '-') {
      flags.push_back(words[i]);
    } else {
      models.emplace_back(words[i]);
    }
  }
  int flag_count = static_cast<int>(flags.size());
  benchmark::Initialize(&flag_count, flags.data());
  if (benchmark::ReportUnrecognizedArguments(flag_count, flags.data())) return 2;
  try {
    benchmark::AddCustomContext("instruction_set", vitrine::simd_in_use());
    benchmark::AddCustomContext("threads", std::to_string(vitrine::bench_pool().threads()));
    vitrine::register_machine_rows();
    vitrine::register_attention_rows();
    vitrine::register_product_rows();
    vitrine::register_model_rows(models);
    benchmark::RunSpecifiedBenchmarks();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "vitrine-bench: %s\n", error.what());
    return 1;
  }
  benchmark::Shutdown();
  return 0;
}
