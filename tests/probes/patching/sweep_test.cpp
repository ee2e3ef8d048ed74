// A sweep's cells are whole runs with an observer that writes, bit by bit under exact precision.
#include <gtest/gtest.h>

#include <filesystem>

#include "core/base/error.h"
#include "probes/patching/path.h"
#include "probes/patching/sweep.h"
#include "tests/probes/recorded_run.h"

namespace vitrine {
namespace {

struct Family {
  const char* folder;
  const char* name;
};

std::string model_name(const Family& family) { return std::string(family.folder) + "/" + family.name; }

/// Puts rows of one head of a run into another, the plain way.
class PlainPatch : public Observer {
 public:
  PlainPatch(ProbePoint point, const PointValues& source, std::optional<std::size_t> position, std::optional<std::size_t> head)
      : point_(point), source_(source), position_(position), head_(head) {}
  Access access(const ProbePoint& point) const override { return point == point_ ? Access::write : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t h = 0; h < values.extent(1); ++h) {
        if ((position_ && rows[r].position != *position_) || (head_ && h != *head_)) continue;
        const auto row = source_.row(point, rows[r].position, h);
        for (std::size_t i = 0; i < values.extent(2); ++i) values(r, h, i) = row[i];
      }
    }
  }

 private:
  ProbePoint point_;
  const PointValues& source_;
  std::optional<std::size_t> position_, head_;
};

struct Whole {
  TinyModel& tiny;
  KvFormat kv = DType::f32;
  ModelRunner runner() { return {tiny.model, *tiny.ops, tiny.kernel, kv, tiny.workspace, tiny.progress}; }

  double difference(const PatchQuestion& question, std::span<Observer* const> observers) {
    double found = 0.0;
    ForwardSinks sinks;
    sinks.logit_rows = LogitRows::wanted;
    sinks.wants_logits = [&](const RowRef& row) { return row.position == question.position; };
    sinks.logits = [&](std::span<const RowRef>, TensorView<float, 2> logits) {
      found = static_cast<double>(logits(0, static_cast<std::size_t>(question.answer))) - static_cast<double>(logits(0, static_cast<std::size_t>(question.wrong)));
    };
    run_texts(runner(), {&question.text, 1}, observers, sinks);
    return found;
  }
};

std::vector<TokenId> some_ids(std::size_t count, TokenId start, std::size_t vocabulary) {
  std::vector<TokenId> ids;
  for (std::size_t i = 0; i < count; ++i) ids.push_back(static_cast<TokenId>((static_cast<std::size_t>(start) + 7 * i) % (vocabulary - 8) + 4));
  return ids;
}

PatchQuestion question_of(const ModelSpec& spec, TokenId start) {
  PatchQuestion question;
  question.text.ids = some_ids(9, 3, spec.vocabulary);
  if (spec.encoder.empty()) {
    question.text.ids[2] = start;
  } else {
    question.text.source = some_ids(7, start, spec.encoder.front().vocabulary);
  }
  question.answer = 5;
  question.wrong = 11;
  question.position = spec.causal() ? question.text.ids.size() - 1 : 4;
  return question;
}

class SweepOf : public testing::TestWithParam<Family> {};

TEST_P(SweepOf, IsWholeRunsCellByCell) {
  TinyModel tiny(model_name(GetParam()));
  const ModelSpec& spec = tiny.model.spec;
  if (!spec.has_head) GTEST_SKIP() << "no token logits";
  Whole whole{tiny};
  const PatchQuestion clean = question_of(spec, 6), corrupt = question_of(spec, 13);
  const std::size_t first = first_difference(clean.text, corrupt.text);
  std::size_t moved = 0, sweeps = 0;
  for (const std::string prefix : {"", "encoder."}) {
    if (!prefix.empty() && spec.encoder.empty()) continue;
    for (const char* word : {"resid_pre", "attn_out", "mlp_out", "z", "q", "k", "v", "pattern"}) {
      for (const char* by : {"", "position"}) {
        if (by[0] != '\0' && std::string(word) == "pattern" && !prefix.empty()) continue;
        const SweepPoint point = parse_sweep(spec, prefix + word, by);
        const SourceRun source = run_source(whole.runner(), clean, point);
        const PatchSweep sweep = run_sweep(whole.runner(), corrupt, source, point, first);
        EXPECT_EQ(sweep.base, whole.difference(corrupt, {}));
        EXPECT_EQ(sweep.source, whole.difference(clean, {}));
        ++sweeps;
        for (std::size_t cell = 0; cell < sweep.patched.size(); cell += 1 + cell % 3) {  // not all: each is a whole run
          const std::size_t column = cell % sweep.columns;
          const bool heads = point.unit == PatchUnit::head;
          PlainPatch patch({.stack = point.stack, .block = static_cast<int>(cell / sweep.columns), .site = point.site}, source.values,
                           heads ? std::nullopt : std::optional(column), heads ? std::optional(column) : std::nullopt);
          Observer* observers[] = {&patch};
          EXPECT_EQ(sweep.patched[cell], whole.difference(corrupt, observers)) << prefix << word << " " << by << " cell " << cell;
          moved += sweep.patched[cell] != sweep.base ? 1 : 0;
        }
      }
    }
  }
  EXPECT_GT(moved, 4 * sweeps);  // the sweeps do something
}

INSTANTIATE_TEST_SUITE_P(Families, SweepOf,
                         testing::Values(Family{"decoders", "gemma2"}, Family{".", "gpt2"}, Family{"decoders", "gpt_neox"}, Family{"decoders", "qwen3"}, Family{"decoders", "bloom"},
                                         Family{"encoders", "bert_mlm"}, Family{"encoders", "xlnet"}, Family{"encoder_decoders", "t5"}, Family{"encoder_decoders", "bart"}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Sweep, OfALongTextGoesThroughSeveralPasses) {
  TinyModel tiny("llama");
  Whole whole{tiny};
  PatchQuestion clean = question_of(tiny.model.spec, 6), corrupt = clean;
  clean.text.ids = corrupt.text.ids = some_ids(40, 3, tiny.model.spec.vocabulary);
  corrupt.text.ids[5] = 9;
  clean.position = corrupt.position = 39;
  const SweepPoint point = parse_sweep(tiny.model.spec, "z", "head_position");
  const SourceRun source = run_source(whole.runner(), clean, point);
  const PatchSweep sweep = run_sweep(whole.runner(), corrupt, source, point, first_difference(clean.text, corrupt.text));
  EXPECT_EQ(sweep.columns, 40 * tiny.model.spec.blocks.front().attention.heads);
  for (const std::size_t cell : {std::size_t{5}, std::size_t{39}, sweep.columns + 41, sweep.patched.size() - 1}) {
    const std::size_t column = cell % sweep.columns;
    PlainPatch patch({.block = static_cast<int>(cell / sweep.columns), .site = Site::z}, source.values, column % 40, column / 40);
    Observer* observers[] = {&patch};
    EXPECT_EQ(sweep.patched[cell], whole.difference(corrupt, observers)) << cell;
  }
}

/// The plain way of a path: one head as in the source, the heads behind it as they were, and what an end then reads into a run of its own.
class PlainPath : public Observer {
 public:
  PlainPath(const PointValues& source, const PointValues& own, ProbePoint sender, std::size_t head) : source_(source), own_(own), sender_(sender), head_(head) {}
  Access access(const ProbePoint& point) const override { return point.site == Site::z && point.block >= sender_.block ? Access::write : Access::none; }
  void see(const ProbePoint& point, std::span<const RowRef> rows, TensorView<float, 3> values) override {
    for (std::size_t r = 0; r < rows.size(); ++r) {
      for (std::size_t h = 0; h < values.extent(1); ++h) {
        if (point == sender_ && h != head_) continue;
        std::ranges::copy((point == sender_ ? source_ : own_).row(point, rows[r].position, h), &values(r, h, 0));
      }
    }
  }

 private:
  const PointValues &source_, &own_;
  ProbePoint sender_;
  std::size_t head_;
};

TEST(PathPatching, IsTheDefinitionStepByStep) {
  for (const char* name : {"llama", "encoders/bert_mlm"}) {
    TinyModel tiny(name);
    const ModelSpec& spec = tiny.model.spec;
    Whole whole{tiny};
    const PatchQuestion clean = question_of(spec, 6), corrupt = question_of(spec, 13);
    const SourceRun source = run_source(whole.runner(), clean, parse_sweep(spec, "z", ""));
    std::vector<ProbePoint> all_z;
    for (std::size_t b = 0; b < spec.blocks.size(); ++b) all_z.push_back({.stack = spec.stack, .block = static_cast<int>(b), .site = Site::z});
    PointValues own(all_z);
    Observer* looking[] = {&own};
    whole.difference(corrupt, looking);
    const ProbePoint end{.stack = spec.stack, .block = 1, .site = Site::k};
    const std::size_t group = spec.blocks[1].attention.heads / spec.blocks[1].attention.kv_heads;
    const PatchSweep direct = run_path_sweep(whole.runner(), corrupt, source, {}, first_difference(clean.text, corrupt.text));
    const PatchSweep to_key = run_path_sweep(whole.runner(), corrupt, source, parse_path_ends(spec, "L1H1.k"), first_difference(clean.text, corrupt.text));
    for (std::size_t head = 0; head < spec.blocks.front().attention.heads; ++head) {
      PlainPath path(source.values, own, all_z.front(), head);
      PointValues read({end});
      Observer* observers[] = {&path, &read};
      EXPECT_EQ(direct.patched[head], whole.difference(corrupt, observers)) << name;
      PlainPatch into(end, read, std::nullopt, 1 / group);
      Observer* last[] = {&into};
      EXPECT_EQ(to_key.patched[head], whole.difference(corrupt, last)) << name;
      EXPECT_NE(to_key.patched[head], direct.patched[head]) << name;
    }
    EXPECT_EQ(to_key.patched.back(), to_key.base);  // a head of the end's own block has no path to it
  }
}

TEST(PathPatching, RefusesEndsThatAreNone) {
  TinyModel tiny("llama");
  for (const char* text : {"", "L1", "L9H9.q", "L0H99.q", "L0H0.z", "logits+L0H0.q", "L0H0.q+"}) {
    EXPECT_THROW(parse_path_ends(tiny.model.spec, text), Error) << text;
  }
}

TEST(Sweep, RefusesWhatCannotBePatched) {
  TinyModel tiny("llama");
  const ModelSpec& spec = tiny.model.spec;
  EXPECT_THROW(parse_sweep(spec, "nonsense", ""), Error);
  EXPECT_THROW(parse_sweep(spec, "encoder.z", ""), Error);
  EXPECT_THROW(parse_sweep(spec, "cross_z", ""), Error);
  EXPECT_THROW(parse_sweep(spec, "resid_pre", "head"), Error);
  EXPECT_THROW(parse_sweep(spec, "z", "row"), Error);
  EXPECT_THROW(first_difference({{1, 2}, {}, {}}, {{1, 2, 3}, {}, {}}), Error);
  Whole whole{tiny};
  PatchQuestion question = question_of(spec, 6);
  const SweepPoint point = parse_sweep(spec, "z", "");
  question.position = 9;
  EXPECT_THROW(run_source(whole.runner(), question, point), Error);
  question.position = 8;
  question.wrong = static_cast<TokenId>(spec.vocabulary);
  EXPECT_THROW(run_source(whole.runner(), question, point), Error);
}

}  // namespace
}  // namespace vitrine
