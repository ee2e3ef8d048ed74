#include "core/base/error.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

KernelOptions parse_options(std::string_view words) {
  KernelOptions options;
  while (!words.empty()) {
    const std::size_t comma = words.find(',');
    const std::string_view word = words.substr(0, comma);
    const std::size_t equals = word.find('=');
    if (equals == std::string_view::npos) {
      options.positional.emplace_back(word);
    } else {
      options.named.emplace(word.substr(0, equals), word.substr(equals + 1));
    }
    words = comma == std::string_view::npos ? "" : words.substr(comma + 1);
  }
  return options;
}

}  // namespace

PatternRule rule_without_options(std::string_view kernel, const KernelOptions& options) {
  if (options.positional.empty() && options.named.empty()) return {};
  throw Error({"--kernel " + std::string(kernel), "no options", "some", ""}, Fault::usage);
}

KernelChoice choose_attention_kernel(std::string_view spelled) {
  const std::size_t colon = spelled.find(':');
  std::string_view name = spelled.substr(0, colon);
  if (name == "auto") name = "flash";  // the fastest exact one there is
  std::string known = "auto";
  for (const AttentionKernel* kernel : all_attention_kernels()) {
    known += ", " + std::string(kernel->name);
    if (kernel->name != name) continue;
    KernelChoice choice{kernel, {}, std::string(spelled)};
    if (colon != std::string_view::npos) choice.options = parse_options(spelled.substr(colon + 1));
    kernel->rule(choice.options);  // refuses bad options now
    return choice;
  }
  throw Error({"--kernel", known, quoted(name), "see `vitrine list kernels`"}, Fault::usage);
}

}  // namespace vitrine
