#include "experiments/session.h"

#include <csignal>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <fstream>
#include <iterator>

#include "core/base/error.h"
#include "kernels/kernels.h"

namespace vitrine {
namespace {

Run* running = nullptr;  // what Ctrl-C cancels

void on_interrupt(int) {
  if (running) running->cancel();
}

Precision parse_precision(const std::string& word) {
  if (word == "fast") return Precision::fast;
  if (word == "exact") return Precision::exact;
  throw Error({"--precision", "fast or exact", quoted(word), ""}, Fault::usage);
}

DType parse_kv(const std::string& word, Precision precision) {
  if (word.empty()) return precision == Precision::exact ? DType::f32 : DType::f16;
  if (word != "f32" && word != "f16") throw Error({"--kv", "f32 or f16", quoted(word), ""}, Fault::usage);
  if (precision == Precision::exact && word != "f32") {
    throw Error({"--kv", "f32 under --precision exact", quoted(word), "use --precision fast"}, Fault::usage);
  }
  return word == "f32" ? DType::f32 : DType::f16;
}

}  // namespace

std::string read_file(const std::string& flag, const std::string& path, const std::string& expected) {
  std::ifstream file(path, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file.is_open() || file.bad()) throw Error({flag + " " + path, expected, "none", ""});
  return text;
}

Run::Report progress_bar(bool quiet) {
  if (quiet || !isatty(STDERR_FILENO)) return {};
  return [](std::string_view task, std::size_t done, std::size_t total) {
    std::fprintf(stderr, "\r%.*s %zu/%zu%s", static_cast<int>(task.size()), task.data(), done, total,
                 done == total ? "\n" : "");
  };
}

std::size_t checked_threads(std::size_t threads) {
  if (threads > 1024) throw Error({"--threads", "at most 1024", std::to_string(threads), ""}, Fault::usage);
  return threads;
}

void declare_common(CLI::App& app, CommonOptions& options) {
  app.add_option("MODEL", options.model, "GGUF file, safetensors file, Hugging Face folder, or hf:NAME")->required();
  app.add_option("--precision", options.precision, "fast (default) or exact (f32 throughout)");
  app.add_option("--kernel", options.kernel, "attention kernel, NAME[:key=value,...]; see `vitrine list kernels`");
  app.add_option("--kv", options.kv, "type of the key-value cache: f32 (default under exact) or f16");
  app.add_option("--threads", options.threads, "default: the cores this process may use");
  app.add_option("--simd", options.simd, "instruction set; see `vitrine info`");
  app.add_option("--seed", options.seed, "of everything random");
  app.add_flag("--quiet", options.quiet, "no progress");
  app.add_flag("--json", options.json, "print JSON");
}

void declare_text(CLI::App& app, TextOptions& options) {
  app.add_option("--text", options.text, "the text itself (may be empty)");
  app.add_option("--file", options.file, "a file with the text");
  app.add_option("--ids", options.ids, "token ids, used as they are")->delimiter(',');
  app.add_option("--bos", options.bos, "auto (what the tokenizer declares), yes or no");
}

Session::Session(const CommonOptions& options)
    : options_(options), precision_(parse_precision(options.precision)), kv_type_(parse_kv(options.kv, precision_)),
      run_(progress_bar(options.quiet)) {
  checked_threads(options.threads);
  choose_simd(options.simd);
  kernel_ = choose_attention_kernel(options.kernel);
  model_ = load_model(options.model);
  pool_ = std::make_unique<ThreadPool>(options.threads, initialize_worker);
  ops_ = make_cpu_ops(precision_, *pool_);
  running = &run_;
  std::signal(SIGINT, on_interrupt);
}

Session::~Session() { running = nullptr; }

InputText Session::read(const TextOptions& options) const {
  InputText input;
  const int given = (options.text ? 1 : 0) + (options.file.empty() ? 0 : 1) + (options.ids.empty() ? 0 : 1);
  if (given != 1) {
    throw Error({"input", "exactly one of --text, --file, --ids", std::to_string(given) + " of them", ""}, Fault::usage);
  }
  for (const int id : options.ids) input.tokens.push_back({id, 0, 0});
  if (!input.tokens.empty()) {
    input.bos_rule = "ids as given";
    return input;
  }
  if (!model_.tokenizer) {
    throw Error({options_.model, "a tokenizer", "none", "give token ids with --ids"}, Fault::usage);
  }
  if (options.bos != "auto" && options.bos != "yes" && options.bos != "no") {
    throw Error({"--bos", "auto, yes or no", quoted(options.bos), ""}, Fault::usage);
  }
  input.text = options.text ? *options.text : read_file("--file", options.file);
  const SpecialTokens& special = model_.tokenizer->special();
  input.tokens = model_.tokenizer->encode(input.text, {});
  input.bos_added = special.adds_bos && special.bos && !input.tokens.empty() && input.tokens.front().id == *special.bos;
  input.bos_rule = options.bos;
  if (options.bos == "no" && input.bos_added) {
    input.tokens.erase(input.tokens.begin());
    input.bos_added = false;
  }
  if (options.bos == "yes" && !input.bos_added) {
    if (!special.bos) throw Error({"--bos yes", "a BOS token in the tokenizer", "none", ""}, Fault::usage);
    input.tokens.insert(input.tokens.begin(), {*special.bos, 0, 0});
    input.bos_added = true;
    input.bos_rule = "yes (the tokenizer adds none)";
  }
  return input;
}

void Session::run_sequence(std::span<const TokenId> ids, const TapPlan& taps, const ForwardSinks& sinks,
                           std::uint32_t sequence) {
  const ForwardContext context{model_, *ops_, kernel_, workspace_, run_, taps};
  Segment segment{.sequence = sequence, .ids = ids};
  if (!model_.spec.causal()) return forward(context, {&segment, 1}, sinks);
  KvCache cache = new_cache();
  segment.cache = &cache;
  forward(context, {&segment, 1}, sinks);
}

Json Session::signature() const {
  Json json;
  json.set("precision", options_.precision).set("kernel", std::string(kernel_.kernel->name));
  if (kernel_.kernel->name == "check") json.set("check_largest_difference", largest_checked_difference());
  json.set("kv", std::string(dtype_info(kv_type_).name)).set("simd", simd_in_use());
  json.set("threads", static_cast<std::uint64_t>(pool_->threads())).set("seed", options_.seed);
  json.set("model", model_.path.filename().string()).set("version", VITRINE_VERSION);
  return json;
}

std::vector<TokenId> ids_of(std::span<const Token> tokens) {
  std::vector<TokenId> ids;
  for (const Token& token : tokens) ids.push_back(token.id);
  return ids;
}

std::string printable(std::string_view bytes) {
  const std::string safe = quoted(bytes, bytes.size());
  return safe.substr(1, safe.size() - 2);
}

}  // namespace vitrine
