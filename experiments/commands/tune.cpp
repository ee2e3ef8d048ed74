#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "experiments/command.h"
#include "experiments/number_range_internal.h"
#include "experiments/session.h"
#include "experiments/tuning.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

struct Options {
  std::string simd = "auto";
  std::size_t threads = 0;
  bool json = false, quiet = false;
};

void print_table(const TuningTable& table) {
  std::printf("%-28s", "milliseconds a call");
  for (const AttentionKernel* kernel : auto_kernels(Precision::fast)) std::printf(" %16s", std::string(kernel->name).c_str());
  std::printf("  fastest\n");
  for (const TunedShape& place : table.shapes) {
    std::printf("%-28s", place.name.c_str());
    const auto least = std::ranges::min_element(place.seconds, {}, [](const auto& pair) { return pair.second; });
    for (const AttentionKernel* kernel : auto_kernels(Precision::fast)) {
      const auto found = place.seconds.find(std::string(kernel->name));
      if (found == place.seconds.end()) {
        std::printf(" %16s", "");
      } else {
        std::printf(" %16.4g", found->second * 1e3);
      }
    }
    std::printf("  %s\n", least == place.seconds.end() ? "" : least->first.c_str());
  }
}

/// What `auto` becomes: {"32": {"F32": "flash", ...}, ...}
Json choices(const TuningTable& table) {
  Json json = Json::object();
  for (const TunedShape& place : table.shapes) {
    const std::string head = std::to_string(place.shape.head_dim), kv(dtype_info(place.shape.kv).name);
    const AutoCase wanted{place.shape.head_dim, place.shape.kv, place.shape.kv == DType::f32 ? Precision::exact : Precision::fast};
    Json row = json.has(head) ? json[head] : Json::object();
    json.set(head, row.set(kv, fastest_kernel(table, wanted)));
  }
  return json;
}

void run(const Options& options) {
  choose_simd(options.simd);
  ThreadPool pool(checked_threads(options.threads), initialize_worker);
  Run progress(progress_bar(options.quiet));
  const TuningTable table = tune(shapes_to_tune(), pool, progress);
  write_tuning(table);
  const std::string path = tuning_path(table.key).string();
  if (options.json) {
    std::puts(to_json(table).set("auto", choices(table)).set("file", path).dump(2).c_str());
    return;
  }
  print_table(table);
  std::printf(
      "\n%s, %s, %zu threads, version %s. `--kernel auto` is now, by head size and type of keys and values:\n%s\nKept "
      "in %s\n",
      table.key.cpu.c_str(), table.key.simd.c_str(), table.key.threads, table.key.version.c_str(),
      choices(table).dump().c_str(), path.c_str());
}

std::function<void()> declare(CLI::App& app) {
  auto options = std::make_shared<Options>();
  app.add_option("--threads", options->threads, "default: the cores this process may use")
      ->check(whole_number(1, 1024));
  app.add_option("--simd", options->simd, "instruction set; see `vitrine info`");
  app.add_flag("--json", options->json, "the table as JSON");
  app.add_flag("--quiet", options->quiet, "no progress");
  return [options] { run(*options); };
}

}  // namespace

const Command& command_tune() {
  static const Command command{"tune", "time the exact attention kernels here; --kernel auto then takes the fastest",
                               "vitrine tune --threads 2", declare};
  return command;
}

}  // namespace vitrine
