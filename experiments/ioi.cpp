#include "experiments/ioi.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

#include "core/base/error.h"
#include "experiments/data/ioi_published.h"
#include "probes/analysis.h"
#include "probes/patching/sweep.h"

namespace vitrine {
namespace {

ProbePoint at(const ModelSpec& spec, int block, Site site) { return {.stack = spec.stack, .block = block, .site = site}; }

double dot(std::span<const float> a, std::span<const double> b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum;
}

/// Numbers of a vector, `otherwise` where the model has none.
std::vector<double> vector_of(const Weight* weight, std::size_t width, double otherwise) {
  if (weight == nullptr) return std::vector<double>(width, otherwise);
  const Tensor numbers = expand(*weight);
  return {numbers.floats().begin(), numbers.floats().end()};
}

void require_additive_stream(const Model& model) {
  const ModelSpec& spec = model.spec;
  const bool adds = std::ranges::all_of(spec.blocks, [](const BlockSpec& block) { return block.placement != NormPlacement::post; });
  if (!spec.causal() || !spec.has_head || !spec.encoder.empty() || !adds || spec.head_transform) {
    throw Error({"study ioi", "a decoder whose modules add to a residual stream that its head reads", spec.architecture, ""});
  }
}

/// One prompt's values, and the direction d along which its last row is read: difference = x . d + biases. With the final norm's scale s
/// and gain g and the head's rows u: d = C (g * (u_answer - u_wrong)) / s, C taking the mean off where the norm does.
struct Reading {
  PointValues values;
  std::size_t last = 0;
  double difference = 0.0;
  std::vector<double> direction;  // [width]

  double part(const ProbePoint& point) const { return dot(values.row(point, last), direction); }
};

std::vector<ProbePoint> read_points(const ModelSpec& spec) {
  std::vector<ProbePoint> points;
  for (const ProbePoint& point : all_points(spec)) {
    switch (point.site) {
      case Site::embed: case Site::pos_embed: case Site::resid_pre: case Site::resid_mid: case Site::attn_out: case Site::mlp_out: case Site::z: case Site::final_scale: points.push_back(point); break;
      case Site::resid_post: if (point.block + 1 == static_cast<int>(spec.blocks.size())) points.push_back(point); break;
      default: break;
    }
  }
  return points;
}

/// Rows of the head for two tokens, apart.  [width]
std::vector<double> answer_direction(Session& session, const IoiPrompt& prompt) {
  const Model& model = session.model();
  const std::size_t width = model.spec.width;
  std::vector<float> rows(2 * width);
  const TokenId ids[] = {prompt.answer, prompt.wrong};
  session.ops().gather(model.weights.at({Role::head, -1, false, model.spec.stack}), ids, 1.0f, {rows.data(), {2, width}});
  const std::vector<double> gain = vector_of(model.weights.find({Role::final_norm, -1, false, model.spec.stack}), width, 1.0);
  std::vector<double> direction(width);
  for (std::size_t c = 0; c < width; ++c) direction[c] = (static_cast<double>(rows[c]) - static_cast<double>(rows[width + c])) * gain[c] * static_cast<double>(model.spec.head_scale);
  return direction;
}

Reading read_prompt(Session& session, const IoiPrompt& prompt) {
  const ModelSpec& spec = session.model().spec;
  Reading reading{PointValues(read_points(spec)), prompt.ids.size() - 1, 0.0, answer_direction(session, prompt)};
  Observer* observers[] = {&reading.values};
  ForwardSinks sinks{.logit_rows = LogitRows::last};
  sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> logits) {
    reading.difference = static_cast<double>(logits(0, static_cast<std::size_t>(prompt.answer))) - static_cast<double>(logits(0, static_cast<std::size_t>(prompt.wrong)));
  };
  const ModelText text{prompt.ids, {}, {}};
  run_texts(session.runner(), {&text, 1}, observers, sinks);
  if (!spec.final_norm) return reading;
  const double scale = reading.values.row(at(spec, -1, Site::final_scale), reading.last)[0];
  double mean = 0.0;
  for (double& number : reading.direction) mean += (number /= scale) / static_cast<double>(spec.width);
  for (double& number : reading.direction) number -= spec.blocks.back().norm == NormKind::layer ? mean : 0.0;
  return reading;
}

using Named = std::vector<std::pair<std::string, double>>;

/// Adds a point's share, where the model has it.
void add_part(const ModelSpec& spec, std::span<const Reading> readings, const ProbePoint& point, const std::string& name, Named& to) {
  if (point_shape(spec, point).heads == 0) return;
  double sum = 0.0;
  for (const Reading& reading : readings) sum += reading.part(point);
  to.emplace_back(name, sum / static_cast<double>(readings.size()));
}

void read_stream(const ModelSpec& spec, std::span<const Reading> readings, IoiNumbers& numbers) {
  add_part(spec, readings, at(spec, -1, Site::embed), "embed", numbers.parts);
  add_part(spec, readings, at(spec, -1, Site::pos_embed), "pos_embed", numbers.parts);
  for (int block = 0; block < static_cast<int>(spec.blocks.size()); ++block) {
    const std::string layer = std::to_string(block) + "_";
    add_part(spec, readings, at(spec, block, Site::resid_pre), layer + "pre", numbers.lens);
    add_part(spec, readings, at(spec, block, Site::resid_mid), layer + "mid", numbers.lens);
    add_part(spec, readings, at(spec, block, Site::attn_out), layer + "attn_out", numbers.parts);
    add_part(spec, readings, at(spec, block, Site::mlp_out), layer + "mlp_out", numbers.parts);
  }
  add_part(spec, readings, at(spec, static_cast<int>(spec.blocks.size()) - 1, Site::resid_post), "final_post", numbers.lens);
}

/// The value bias that a head's z holds whatever it attends to: rows of a pattern sum to 1.  [d_head]
std::vector<float> value_bias(const Model& model, std::size_t block, std::size_t head) {
  const AttentionSpec& spec = model.spec.blocks[block].attention;
  std::vector<float> bias(spec.head_dim, 0.0f);
  const Weight* weight = model.weights.find({Role::attn_v, static_cast<int>(block), true, model.spec.stack});
  if (weight == nullptr) return bias;
  const std::size_t kv_head = head / (spec.heads / spec.kv_heads);
  std::copy_n(expand(*weight).floats().begin() + static_cast<std::ptrdiff_t>(kv_head * spec.head_dim), spec.head_dim, bias.begin());
  return bias;
}

/// (z_h - b_v) W_O^h along each prompt's direction, mean over prompts.  [layers, heads]
IoiMatrix head_attribution(const Model& model, std::span<const Reading> readings) {
  const ModelSpec& spec = model.spec;
  const std::size_t heads = spec.blocks.front().attention.heads;
  IoiMatrix matrix{"direct attribution of heads", spec.blocks.size(), heads, std::vector<double>(spec.blocks.size() * heads, 0.0)};
  for (std::size_t block = 0; block < spec.blocks.size(); ++block) {
    const std::size_t dim = spec.blocks[block].attention.head_dim;
    const Tensor out = expand(model.weights.at({Role::attn_out, static_cast<int>(block), false, spec.stack}));  // [width, heads x d_head]
    for (const Reading& reading : readings) {
      std::vector<double> through(heads * dim, 0.0);  // W_O^T d
      for (std::size_t row = 0; row < spec.width; ++row) {
        for (std::size_t c = 0; c < through.size(); ++c) through[c] += static_cast<double>(out.floats()[row * through.size() + c]) * reading.direction[row];
      }
      for (std::size_t h = 0; h < heads; ++h) {
        const std::span<const double> of_head = std::span(through).subspan(h * dim, dim);
        const double part = dot(reading.values.row(at(spec, static_cast<int>(block), Site::z), reading.last, h), of_head) - dot(value_bias(model, block, h), of_head);
        matrix.values[block * heads + h] += part / static_cast<double>(readings.size());
      }
    }
  }
  return matrix;
}

/// Puts the value bias alone in the place of one head's z at the last row: what is left of a head whose z is 0 with folded biases.
class SilencedHead : public Observer {
 public:
  SilencedHead(const ProbePoint& point, std::size_t head, std::size_t position, std::vector<float> left) : point_(point), head_(head), position_(position), left_(std::move(left)) {}
  Access access(const ProbePoint& point) const override { return point == point_ ? Access::write : Access::none; }
  void see(const ProbePoint&, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].position == position_) std::ranges::copy(left_, &values(r, head_, 0));
    }
  }

 private:
  ProbePoint point_;
  std::size_t head_, position_;
  std::vector<float> left_;
};

void ablate_strongest(Session& session, std::span<const IoiPrompt> prompts, const IoiMatrix& heads, IoiNumbers& numbers) {
  const auto strongest = static_cast<std::size_t>(std::ranges::max_element(heads.values) - heads.values.begin());
  const std::size_t block = strongest / heads.columns, head = strongest % heads.columns;
  numbers.ablated = head_label(block, head);
  for (const IoiPrompt& prompt : prompts) {
    SilencedHead silenced(at(session.model().spec, static_cast<int>(block), Site::z), head, prompt.ids.size() - 1, value_bias(session.model(), block, head));
    Observer* observers[] = {&silenced};
    ForwardSinks sinks{.logit_rows = LogitRows::last};
    sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> logits) {
      numbers.after_ablation += (static_cast<double>(logits(0, static_cast<std::size_t>(prompt.answer))) - static_cast<double>(logits(0, static_cast<std::size_t>(prompt.wrong)))) / static_cast<double>(prompts.size());
    };
    const ModelText text{prompt.ids, {}, {}};
    run_texts(session.runner(), {&text, 1}, observers, sinks);
  }
}

/// Shares of the mean difference that clean values of a point bring back; empty where prompts of unlike length share no positions.
IoiMatrix patched(Session& session, std::span<const IoiPrompt> prompts, const std::string& word) {
  const SweepPoint point = parse_sweep(session.model().spec, word, "");
  IoiMatrix matrix{"patched " + word, 0, 0, {}};
  double clean = 0.0, corrupt = 0.0;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    const auto question = [&](const IoiPrompt& prompt) { return PatchQuestion{{prompt.ids, {}, {}}, prompts[i].answer, prompts[i].wrong, prompt.ids.size() - 1}; };
    const PatchQuestion from = question(prompts[i]), into = question(prompts[i ^ 1u]);
    const PatchSweep sweep = run_sweep(session.runner(), into, run_source(session.runner(), from, point), point, first_difference(from.text, into.text));
    if (i > 0 && sweep.columns != matrix.columns) return {"patched " + word, 0, 0, {}};
    matrix.rows = sweep.layers;
    matrix.columns = sweep.columns;
    matrix.values.resize(sweep.patched.size(), 0.0);
    for (std::size_t c = 0; c < sweep.patched.size(); ++c) matrix.values[c] += sweep.patched[c];
    clean += sweep.source;
    corrupt += sweep.base;
  }
  for (double& value : matrix.values) value = (value - corrupt) / (clean - corrupt);
  return matrix;
}

constexpr std::size_t repeated_tokens = 100;

/// Mean weight of every head along three diagonals of maps of repeated tokens.
class Diagonals : public Observer {
 public:
  static constexpr std::array<std::pair<const char*, std::size_t>, 3> kinds{{{"previous-token score", 1}, {"duplicate-token score", repeated_tokens}, {"induction score", repeated_tokens - 1}}};

  Diagonals(const ModelSpec& spec, std::size_t texts) : spec_(spec) {
    for (const auto& [name, offset] : kinds) {
      matrices.push_back({name, spec.blocks.size(), spec.blocks.front().attention.heads, std::vector<double>(spec.blocks.size() * spec.blocks.front().attention.heads, 0.0)});
      counts_.push_back(static_cast<double>(texts * (2 * repeated_tokens - offset)));
    }
  }
  Access access(const ProbePoint& point) const override { return point.block >= 0 && point == at(spec_, point.block, Site::pattern) ? Access::read : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t k = 0; k < kinds.size(); ++k) {
      for (std::size_t r = 0; r < rows.size(); ++r) {
        if (rows[r].position < kinds[k].second) continue;
        for (std::size_t h = 0; h < values.extent(1); ++h) {
          matrices[k].values[static_cast<std::size_t>(point.block) * matrices[k].columns + h] += static_cast<double>(values(r, h, rows[r].position - kinds[k].second)) / counts_[k];
        }
      }
    }
  }
  std::vector<IoiMatrix> matrices;

 private:
  const ModelSpec& spec_;
  std::vector<double> counts_;
};

/// Two texts of 100 random tokens, each twice, without a BOS: torch.manual_seed(0); torch.randint(100, 20000, (2, 100)).
std::vector<IoiMatrix> head_scores(Session& session) {
  const std::size_t vocabulary = session.model().spec.vocabulary, range = std::min<std::size_t>(19900, vocabulary > 100 ? vocabulary - 100 : 0);
  if (range < 2 || (session.model().spec.context > 0 && session.model().spec.context < 2 * repeated_tokens)) return {};
  std::mt19937 random(0);
  std::vector<ModelText> texts(2);
  for (ModelText& text : texts) {
    for (std::size_t i = 0; i < repeated_tokens; ++i) text.ids.push_back(static_cast<TokenId>(100 + random() % range));
    for (std::size_t i = 0; i < repeated_tokens; ++i) text.ids.push_back(text.ids[i]);
  }
  Diagonals diagonals(session.model().spec, texts.size());
  Observer* observers[] = {&diagonals};
  run_texts(session.runner(), texts, observers, {});
  return diagonals.matrices;
}

}  // namespace

bool shaped_as_gpt2_small(const ModelSpec& spec) {
  return spec.architecture == "gpt2" && spec.blocks.size() == 12 && spec.width == 768 && spec.blocks.front().attention.heads == 12 && spec.vocabulary == 50257;
}

std::vector<IoiPrompt> ioi_prompts(const Model& model) {
  if (!model.tokenizer) throw Error({model.path.filename().string(), "a tokenizer", "none", ""});
  const Tokenizer& tokenizer = *model.tokenizer;
  const auto ids = [&](const std::string& text) { return ids_of(tokenizer.encode(text, {.add_special = false, .parse_special = false})); };
  std::vector<IoiPrompt> prompts;
  for (const IoiTemplate& of : ioi_templates) {
    for (const std::size_t answer : {0u, 1u}) {
      IoiPrompt& prompt = prompts.emplace_back();
      prompt.text = of.text;
      prompt.text.replace(prompt.text.find("{}"), 2, of.names[1 - answer]);
      prompt.ids = ids(prompt.text);
      if (tokenizer.special().bos) prompt.ids.insert(prompt.ids.begin(), *tokenizer.special().bos);
      const std::vector<TokenId> right = ids(std::string(of.names[answer])), wrong = ids(std::string(of.names[1 - answer]));
      prompt.answer = right.front();
      prompt.wrong = wrong.front();
      if (prompt.answer == prompt.wrong) throw Error({"study ioi", "names that begin with different tokens", std::string(of.names[0]) + " and" + std::string(of.names[1]) + " begin alike", ""});
      if (shaped_as_gpt2_small(model.spec) && (right != std::vector<TokenId>{of.gpt2_ids[answer]} || wrong != std::vector<TokenId>{of.gpt2_ids[1 - answer]})) {
        throw Error({"study ioi", "the published ids of GPT-2's names, " + std::to_string(of.gpt2_ids[answer]) + " for" + std::string(of.names[answer]), std::to_string(right.front()),
                     "this model's tokenizer is not GPT-2's"});
      }
    }
  }
  return prompts;
}

IoiNumbers measure_ioi(Session& session, std::span<const IoiPrompt> prompts, std::span<const std::string> points) {
  require_additive_stream(session.model());
  std::vector<Reading> readings;
  IoiNumbers numbers;
  for (std::size_t i = 0; i < prompts.size(); ++i) {
    readings.push_back(read_prompt(session, prompts[i]));
    numbers.differences.push_back(readings.back().difference);
    session.run().step("prompts", i + 1, prompts.size());
  }
  // The corrupted run of a prompt is its neighbour's, asked for the same answer: the neighbour's difference with its sign turned.
  for (const double difference : numbers.differences) numbers.corrupted -= difference / static_cast<double>(prompts.size());
  read_stream(session.model().spec, readings, numbers);
  numbers.matrices.push_back(head_attribution(session.model(), readings));
  ablate_strongest(session, prompts, numbers.matrices.front(), numbers);
  for (const std::string& point : points) {
    IoiMatrix matrix = patched(session, prompts, point);
    if (!matrix.values.empty()) numbers.matrices.push_back(std::move(matrix));
  }
  for (IoiMatrix& matrix : head_scores(session)) numbers.matrices.push_back(std::move(matrix));
  return numbers;
}

IoiMatrix attribute_heads(Session& session, std::span<const IoiPrompt> prompts) {
  require_additive_stream(session.model());
  std::vector<Reading> readings;
  for (const IoiPrompt& prompt : prompts) readings.push_back(read_prompt(session, prompt));
  return head_attribution(session.model(), readings);
}

}  // namespace vitrine
