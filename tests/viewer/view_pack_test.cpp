#include <gtest/gtest.h>
#include <libdeflate.h>

#include <cmath>
#include <fstream>
#include <iterator>
#include <random>

#include "core/base/error.h"
#include "probes/head_score.h"
#include "tests/viewer/workbench_fixture.h"
#include "viewer/data/tokens.h"
#include "viewer/data/view_pack.h"
#include "viewer/data/view_pack_reader.h"
#include "viewer/web/pack_view.h"

namespace vitrine {
namespace {

std::vector<TokenId> long_text(std::size_t tokens, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<TokenId> ids(tokens);
  for (TokenId& id : ids) id = static_cast<TokenId>(random() % 30);
  return ids;
}

class ViewPackTest : public WorkbenchTest {
 protected:
  std::shared_ptr<const Document> recorded(const std::string& model, const std::vector<std::vector<TokenId>>& texts, const std::vector<std::vector<TokenId>>& sources = {}) {
    TinyModel tiny(model);
    tiny.sources = sources;
    tiny.model.spec.context = 0;  // texts of any length
    if (!sources.empty()) tiny.model.spec.encoder.front().context = 0;
    RecorderOptions options;
    options.path = folder_ / "packed.h5";
    options.points = {};
    options.kv_format = DType::f32;
    options.longest_sequence = 601;
    record(tiny, texts, options)->finish();
    return open_document(options.path);
  }

  std::string packed(const std::shared_ptr<const Document>& document, const PackOrder& order = {}) {
    vitrine::Run run;
    return view_pack(document, order, run);
  }
};

/// Half a step of a code's root: docs/view-pack.md.
double allowed_error(double value, double scale, unsigned bits) {
  const double top = bits == 8 ? 253.0 : 65533.0;
  return std::sqrt(value * scale) / top + scale / (4.0 * top * top) + scale * 1e-6;
}

void expect_plane(const std::vector<float>& found, const std::vector<float>& wanted, unsigned bits) {
  ASSERT_EQ(found.size(), wanted.size());
  double scale = 0.0;
  for (const float each : wanted) scale = std::isnan(each) ? scale : std::max(scale, static_cast<double>(each));
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    ASSERT_EQ(std::isnan(found[i]), std::isnan(wanted[i])) << i;
    if (std::isnan(wanted[i])) continue;
    ASSERT_NEAR(found[i], wanted[i], allowed_error(wanted[i], scale, bits)) << i;
  }
}

/// Every tile of a pack against the recording's own. Returns how many there are.
std::size_t expect_maps(const ViewPack& pack, const std::shared_ptr<const Document>& document, std::size_t sequence) {
  const Recording& recording = *document->recording;
  std::size_t tiles = 0;
  for (std::size_t place = 0; place < pack.heads().places.size(); ++place) {
    const auto [module, head] = pack.heads().places[place];
    const auto factors = recording.head(recording.modules()[module], head, sequence);
    const std::size_t queries = pack.queries(place).size(), keys = pack.keys(place).size();
    for (unsigned level = pack.finest(place); level <= whole_level(queries, keys); ++level) {
      const std::size_t side = tile_cells << level;
      for (std::size_t row = 0; row * side < queries; ++row) {
        for (std::size_t column = 0; column * side < keys; ++column, ++tiles) {
          const Tile wanted = make_tile({{document, module, head, sequence}, level, row, column}, *factors), found = pack.tile(place, level, row, column);
          EXPECT_EQ(found.rows, wanted.rows);
          EXPECT_EQ(found.columns, wanted.columns);
          expect_plane(found.largest, wanted.largest, pack.bits(place));
          expect_plane(found.mean, wanted.mean, pack.bits(place));
        }
      }
    }
  }
  return tiles;
}

TEST_F(ViewPackTest, HoldsEveryMapToItsStatedError) {
  const auto document = recorded("llama", two_texts);
  for (const std::size_t sequence : {0u, 1u}) {
    const ViewPack pack(packed(document, {sequence, {}}), "pack");
    EXPECT_EQ(pack.queries(0).size(), two_texts[sequence].size());
    EXPECT_EQ(expect_maps(pack, document, sequence), pack.heads().places.size());
    EXPECT_EQ(pack.queries(0), tokens_of(*document, sequence).labels);
  }
}

TEST_F(ViewPackTest, FinerHeadsHaveMoreLevels) {
  const auto document = recorded("llama", {long_text(601, 3)});
  const ViewPack pack(packed(document, {0, {"L1H2"}}), "pack");
  const auto& labels = pack.heads().labels;
  const auto chosen = static_cast<std::size_t>(std::ranges::find(labels, "L1H2") - labels.begin());
  EXPECT_EQ(pack.finest(chosen), 0u);
  EXPECT_EQ(pack.bits(chosen), 16u);
  EXPECT_EQ(pack.finest(chosen - 1), 2u);
  EXPECT_EQ(pack.bits(chosen - 1), 8u);
  // 601 tokens: one tile of 151 cells, four of 301, nine of 601.
  EXPECT_EQ(expect_maps(pack, document, 0), labels.size() + 4 + 9);
}

TEST_F(ViewPackTest, AnEncoderHasItsOwnText) {
  const auto document = recorded("encoder_decoders/t5", {long_text(11, 4)}, {long_text(300, 5)});
  const ViewPack pack(packed(document), "pack");
  const auto& labels = pack.heads().labels;
  const auto at = [&](const char* label) { return static_cast<std::size_t>(std::ranges::find(labels, label) - labels.begin()); };
  ASSERT_LT(at("cross L0H0"), labels.size());
  EXPECT_EQ(pack.keys(at("cross L0H0")).size(), 300u);
  EXPECT_EQ(pack.queries(at("cross L0H0")).size(), 11u);
  EXPECT_EQ(pack.queries(at("encoder L0H0")).size(), 300u);
  EXPECT_EQ(expect_maps(pack, document, 0), labels.size());
}

TEST_F(ViewPackTest, ScoresAreThoseOfTheTable) {
  const auto document = recorded("llama", two_texts);
  const ViewPack pack(packed(document), "pack");
  ThreadPool pool(1);
  vitrine::Run run;
  const auto rows = head_table(*document->recording, pool, run);
  ASSERT_EQ(rows.size(), pack.heads().places.size());
  for (std::size_t place = 0; place < rows.size(); ++place) {
    for (std::size_t s = 0; s < rows[place].scores.size(); ++s) {
      const double found = pack.heads().scores[s][place];
      ASSERT_EQ(std::isnan(found), !rows[place].scores[s].has_value());
      if (rows[place].scores[s]) {
        EXPECT_EQ(found, *rows[place].scores[s]);
      }
    }
  }
}

TEST_F(ViewPackTest, RefusesWhatCannotBeWritten) {
  const auto document = recorded("llama", two_texts);
  vitrine::Run run;
  const auto refused = [&](const PackOrder& order, const char* file) {
    try {
      write_view_pack(document, order, folder_ / file, run);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(refused({0, {"L99H0"}}, "a.vpack").find("L99H0"), std::string::npos);
  EXPECT_NE(refused({7, {}}, "a.vpack").find("attention of a text"), std::string::npos);
  EXPECT_NE(refused({}, "a.zip").find(".vpack"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "a.vpack"));
}

TEST_F(ViewPackTest, TheFileIsGzip) {
  const auto document = recorded("llama", two_texts);
  vitrine::Run run;
  write_view_pack(document, {}, folder_ / "a.vpack", run);
  std::ifstream file(folder_ / "a.vpack", std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>()), wanted = packed(document);
  std::string plain(wanted.size(), '\0');
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)> unpacker(libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
  ASSERT_EQ(libdeflate_gzip_decompress(unpacker.get(), bytes.data(), bytes.size(), plain.data(), plain.size(), nullptr), LIBDEFLATE_SUCCESS);
  EXPECT_EQ(plain, wanted);
}

/// Reads everything that a pack says it has.
void read_all(const std::string& bytes) {
  try {
    const ViewPack pack(bytes, "a stranger's");
    for (std::size_t place = 0; place < pack.heads().places.size(); ++place) {
      const std::size_t queries = pack.queries(place).size(), keys = pack.keys(place).size();
      for (unsigned level = pack.finest(place); level <= whole_level(queries, keys); ++level) {
        for (std::size_t row = 0; row * (tile_cells << level) < queries; ++row) pack.tile(place, level, row, 0);
      }
      pack.heads().role_of(place);
    }
    for (const std::string& name : pack.heads().score_names) pack.heads().order(name);
  } catch (const Error& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
  }
}

TEST_F(ViewPackTest, DamagedPacksAreRefusedOrRead) {
  const std::string whole = packed(recorded("llama", two_texts));
  for (std::size_t size = 0; size < whole.size(); size += 1 + whole.size() / 300) EXPECT_NO_THROW(read_all(whole.substr(0, size))) << size;
  std::mt19937 random(11);
  const std::string digits = "0123456789-e.[]{},:\"";
  for (int round = 0; round < 3000; ++round) {
    std::string bytes = whole;
    const std::size_t front = round % 4 == 0 ? bytes.size() : std::min<std::size_t>(bytes.size(), 3000);
    for (unsigned hits = 1 + random() % 3; hits > 0; --hits) {
      const std::size_t at = random() % front;
      switch (random() % 4) {
        case 0: bytes[at] = static_cast<char>(random()); break;
        case 1: bytes[at] = digits[random() % digits.size()]; break;  // still JSON, more often
        case 2: bytes.erase(at, 1 + random() % 8); break;
        default: bytes.insert(at, bytes.substr(at, random() % 16)); break;
      }
    }
    EXPECT_NO_THROW(read_all(bytes)) << round;
  }
}

TEST_F(ViewPackTest, SizesThatAreTooLargeAreRefusedBeforeTheyAreBelieved) {
  const auto with = [](const std::string& header) {
    std::string bytes = "VITRPACK";
    for (const std::uint32_t each : {1u, static_cast<std::uint32_t>(header.size())}) {
      for (unsigned i = 0; i < 4; ++i) bytes += static_cast<char>(each >> (8 * i) & 0xff);
    }
    return bytes + header + std::string(64, '\0');
  };
  const auto header = [](const std::string& head) { return R"({"texts":[{"labels":["a","b"]}],"scores":[],"modules":[{"name":"blocks.0.attn","block":0,"queries":0,"keys":0,"heads":[)" + head + "]}]}"; };
  const auto message = [&](const std::string& bytes) {
    try {
      const ViewPack pack(bytes, "pack");
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_NE(message(with(header(R"({"finest":40,"bits":8,"scores":[]})"))).find("finest"), std::string::npos);
  EXPECT_NE(message(with(header(R"({"finest":-1,"bits":8,"scores":[]})"))).find("finest"), std::string::npos);
  EXPECT_NE(message(with(header(R"({"finest":0,"bits":9,"scores":[]})"))).find("bits"), std::string::npos);
  EXPECT_NE(message(with(header(R"({"finest":0,"bits":8,"scores":[1]})"))).find("scores"), std::string::npos);
  EXPECT_NE(message(with(header(R"({"finest":0,"bits":8,"scores":[]})"))).find("lengthened"), std::string::npos);
  EXPECT_NE(message(with(R"({"texts":[],"scores":[],"modules":[]})")).find("texts"), std::string::npos);
  EXPECT_NE(message(with(R"({"texts":[{"labels":["a"]}],"scores":[],"modules":[]})")).find("maps"), std::string::npos);
  EXPECT_NE(message(with("[]")).find("texts"), std::string::npos);
  EXPECT_NE(message("VITRPACK").find("view pack"), std::string::npos);
}

TEST_F(ViewPackTest, TheBrowsersViewAnswersTheMouse) {
  const std::string bytes = packed(recorded("llama", {long_text(601, 9)}));
  try {
    surface_ = std::make_unique<OffscreenSurface>(PixelSize{1200, 800});
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  ImGui::GetCurrentContext()->ErrorCallback = [](ImGuiContext*, void*, const char* text) { ADD_FAILURE() << text; };
  PackView view;
  view.open(bytes, "pack");
  const auto settled = [&] { surface_->settle([&] { return view.frame(); }); };
  const auto click_at = [&](const std::string& name) {
    const Corner at = where(name);
    ImGui::GetIO().AddMousePosEvent(at.x, at.y);
    settled();
    for (const bool down : {true, false}) {
      ImGui::GetIO().AddMouseButtonEvent(0, down);
      settled();
    }
  };
  settled();
  EXPECT_EQ(view.chosen(), "L0H0");
  click_at("heads/1.2");
  EXPECT_EQ(view.chosen(), "L1H2");
  click_at("pack/map");
  EXPECT_TRUE(view.state()["query"].is_integer());
  EXPECT_TRUE(view.choose("L0H1"));
  EXPECT_FALSE(view.choose("L7H7"));
  EXPECT_THROW(view.open("no pack", "other"), Error);
  settled();
  EXPECT_EQ(view.chosen(), "L0H1");
}

}  // namespace
}  // namespace vitrine
