// llama2.c's layouts, put together from the golden Llama's tensors, must give those tensors back; and the published model must
// write what llama2.c publishes (tests/experiments/stories_test.cpp).
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/core/checkpoint/scratch_file.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;
constexpr std::int32_t width = 36, mlp = 52, blocks = 3, heads = 6, kv_heads = 2, vocabulary = 71, context = 16;

template <typename T>
void append(std::string& bytes, T number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}

class Llama2c : public testing::Test {
 protected:
  /// Row 2i + j of a head is row j * d/2 + i of Hugging Face's.
  void append_interleaved(std::string& bytes, const Weight& weight, std::size_t head_count) const {
    const std::size_t head_rows = weight.rows / head_count;
    for (std::size_t row = 0; row < weight.rows; ++row) {
      const std::size_t inside = row % head_rows;
      bytes.append(reinterpret_cast<const char*>(weight.row(row - inside + inside % 2 * (head_rows / 2) + inside / 2)), weight.stride_bytes());
    }
  }
  void append_all(std::string& bytes, const std::string& name) const {
    for (int block = 0; block < (name.find('#') == std::string::npos ? 1 : blocks); ++block) {
      std::string numbered = name;
      if (const std::size_t at = name.find('#'); at != std::string::npos) numbered.replace(at, 1, std::to_string(block));
      const Weight& weight = golden_.find(numbered + ".weight")->weight;
      if (name.ends_with("q_proj")) {
        append_interleaved(bytes, weight, heads);
      } else if (name.ends_with("k_proj")) {
        append_interleaved(bytes, weight, kv_heads);
      } else {
        bytes.append(reinterpret_cast<const char*>(weight.data), weight.bytes());
      }
    }
  }

  std::string version0() const {
    std::string bytes;
    for (const std::int32_t size : {width, mlp, blocks, heads, kv_heads, -vocabulary, context}) append(bytes, size);
    const std::string layer = "model.layers.#.";
    for (const std::string& name : {std::string("model.embed_tokens"), layer + "input_layernorm", layer + "self_attn.q_proj", layer + "self_attn.k_proj",
                                    layer + "self_attn.v_proj", layer + "self_attn.o_proj", layer + "post_attention_layernorm", layer + "mlp.gate_proj",
                                    layer + "mlp.down_proj", layer + "mlp.up_proj", std::string("model.norm")}) {
      append_all(bytes, name);
    }
    bytes.append(std::size_t{context} * (width / heads) * 4, '\7');
    append_all(bytes, "lm_head");
    return bytes;
  }
  std::string version1() const {
    std::string bytes = "24ka";
    for (const std::int32_t size : {1, width, mlp, blocks, heads, kv_heads, vocabulary, context}) append(bytes, size);
    bytes.resize(256);
    const std::string layer = "model.layers.#.";
    for (const std::string& name : {layer + "input_layernorm", layer + "post_attention_layernorm", std::string("model.norm"), std::string("model.embed_tokens"),
                                    layer + "self_attn.q_proj", layer + "self_attn.k_proj", layer + "self_attn.v_proj", layer + "self_attn.o_proj",
                                    layer + "mlp.gate_proj", layer + "mlp.down_proj", layer + "mlp.up_proj", std::string("lm_head")}) {
      append_all(bytes, name);
    }
    return bytes;
  }
  static std::string tokenizer(int count) {
    std::string bytes;
    append(bytes, std::uint32_t{8});
    for (int i = 0; i < count; ++i) {
      const std::string token = "t " + std::to_string(i);
      append(bytes, static_cast<float>(-i));
      append(bytes, static_cast<std::uint32_t>(token.size()));
      bytes += token;
    }
    return bytes;
  }

  Checkpoint open(const std::string& bytes) const {
    return open_checkpoint(file_.write(bytes));
  }
  std::string complaint(const std::string& bytes) const {
    try {
      open(bytes);
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(file_.folder().filename().string()), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return error.what();
    }
    return "";
  }
  void expect_golden(const Checkpoint& found) const {
    EXPECT_EQ(found.format, "llama2c");
    ASSERT_EQ(found.tensors.size(), golden_.tensors.size());
    for (std::size_t i = 0; i < found.tensors.size(); ++i) {
      const NamedTensor &a = found.tensors[i], &b = golden_.tensors[i];
      EXPECT_EQ(a.name, b.name);
      EXPECT_EQ(a.shape, b.shape) << a.name;
      EXPECT_EQ(std::memcmp(a.weight.data, b.weight.data, b.weight.bytes()), 0) << a.name;
    }
    EXPECT_EQ(found.metadata["hidden_size"].integer(), width);
    EXPECT_EQ(found.metadata["num_key_value_heads"].integer(), kv_heads);
  }

  Checkpoint golden_ = open_checkpoint(fs::path(VITRINE_TEST_DATA) / "golden" / "llama" / "model");
  ScratchFile file_{"llama2c.bin"};
};

TEST_F(Llama2c, BothVersionsGiveTheTensorsBack) {
  expect_golden(open(version0()));
  expect_golden(open(version1()));
}

TEST_F(Llama2c, TheTokenizerBesideIsRead) {
  std::ofstream(file_.folder() / "tok71.bin", std::ios::binary) << tokenizer(vocabulary);
  const Json tokens = open(version0()).metadata["tokenizer.ggml.tokens"];
  ASSERT_TRUE(tokens.is_array());
  EXPECT_EQ(tokens.items().size(), std::size_t{vocabulary});
  for (const int count : {vocabulary - 1, vocabulary + 1}) {
    std::ofstream(file_.folder() / "tok71.bin", std::ios::binary | std::ios::trunc) << tokenizer(count);
    EXPECT_NE(complaint(version0()).find("71"), std::string::npos);
  }
  const std::string bytes = tokenizer(vocabulary);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    std::ofstream(file_.folder() / "tok71.bin", std::ios::binary | std::ios::trunc) << bytes.substr(0, length);
    EXPECT_NE(complaint(version1()), "") << length;
  }
}

TEST_F(Llama2c, DamagedFilesAreRefused) {
  for (const std::string& whole : {version0(), version1()}) {
    for (std::size_t length = 0; length < whole.size(); length += length < 300 ? 1 : 997) EXPECT_NE(complaint(whole.substr(0, length)), "") << length;
    EXPECT_NE(complaint(whole + "1234"), "");
    for (std::size_t at = 0; at < 64; ++at) {
      for (const char value : {'\x00', '\x01', '\x7f', '\xff'}) {
        std::string bytes = whole;
        bytes[at] = value;
        complaint(bytes);
      }
    }
  }
  std::string quantised = version1();
  quantised[4] = 2;
  EXPECT_NE(complaint(quantised).find("version"), std::string::npos);
}

}  // namespace
}  // namespace vitrine
