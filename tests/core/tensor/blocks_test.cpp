// The block formats against gguf-py: blocks.json, which make_blocks.py wrote from the same pseudo-random bits.
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/json.h"
#include "core/tensor/dtype.h"

namespace vitrine {
namespace {

constexpr std::size_t count = 4096;

class Bits {
 public:
  std::uint32_t next() { return state_ = state_ * 1664525u + 1013904223u; }

 private:
  std::uint32_t state_ = 7;
};

/// Bits that a writer would write, where a format has others.
void make_valid(DType type, std::byte* block) {
  if (type == DType::mxfp4) block[0] = static_cast<std::byte>(100 + std::to_integer<unsigned>(block[0]) % 40);  // exponents that sums survive
  if (type == DType::tq1_0) {
    for (std::size_t i = 0; i < 52; ++i) block[i] = static_cast<std::byte>((std::to_integer<unsigned>(block[i]) * 243u / 256u * 256u + 242u) / 243u);
  }
  if (type == DType::tq2_0) {
    for (std::size_t i = 0; i < 64; ++i) block[i] &= std::byte{0xaa};
  }
}

/// Any bits, but for binary16 scales below 2 in magnitude.
std::vector<std::byte> random_blocks(const DTypeInfo& info) {
  Bits bits;
  std::vector<std::byte> blocks(row_bytes(info.type, count));
  for (std::byte& byte : blocks) byte = static_cast<std::byte>(bits.next() >> 24);
  for (std::size_t at = 0; at < blocks.size(); at += info.block_bytes) {
    for (std::size_t scale = 0; scale < info.scale_count; ++scale) blocks[at + info.scale_offset + 2 * scale + 1] &= std::byte{0xbf};
    make_valid(info.type, blocks.data() + at);
  }
  return blocks;
}

/// Runs of 32 of sizes from 2^-20 to 2^11, the first one all zeros, the second all the same.
std::vector<float> random_numbers() {
  Bits bits;
  std::vector<float> numbers(count);
  for (std::size_t i = 0; i < count; ++i) {
    const float fraction = (static_cast<float>(bits.next() >> 8) - 8388608.0f) / 8388608.0f;
    numbers[i] = i < 32 ? 0.0f : i < 64 ? 1.5f : std::ldexp(fraction, static_cast<int>(i / 32 % 32) - 20);
  }
  return numbers;
}

std::string fnv1a(const std::vector<std::byte>& bytes) {
  std::uint64_t value = 0xcbf29ce484222325u;
  for (const std::byte byte : bytes) value = (value ^ std::to_integer<std::uint64_t>(byte)) * 0x100000001b3u;
  std::ostringstream text;
  text << std::hex << std::setfill('0') << std::setw(16) << value;
  return text.str();
}

const Json& published() {
  static const Json json = [] {
    std::ifstream file(std::filesystem::path(VITRINE_TEST_DATA) / "core/tensor/blocks.json", std::ios::binary);
    return parse_json(std::string(std::istreambuf_iterator<char>(file), {}), "blocks.json");
  }();
  return json;
}

class Blocks : public testing::TestWithParam<const char*> {
 protected:
  const DTypeInfo& info_ = dtype_info(parse_dtype(GetParam()).value());
  const Json& expected_ = published()[GetParam()];
};

TEST_P(Blocks, ExpandToTheNumbersOfGgufPy) {
  std::vector<float> numbers(count);
  info_.expand(random_blocks(info_).data(), numbers.data(), count);
  for (std::size_t i = 0; i < 40; ++i) EXPECT_EQ(numbers[i], expected_["first"].items()[i].number()) << i;
  long double sum = 0.0L;
  for (std::size_t i = 0; i < count; ++i) sum += static_cast<long double>(i + 1) * numbers[i];
  EXPECT_NEAR(static_cast<double>(sum), expected_["weighted_sum"].number(), 1e-13 * expected_["weighted_size"].number());
}

TEST_P(Blocks, AreRoundedToTheBytesOfGgufPy) {
  if (!expected_.has("digest")) return;  // of these a search finds less error: QuantizersTest
  std::vector<std::byte> blocks(row_bytes(info_.type, count));
  info_.compress(random_numbers().data(), blocks.data(), count);
  EXPECT_EQ(fnv1a(blocks), expected_["digest"].string());
}

INSTANTIATE_TEST_SUITE_P(Types, Blocks, testing::Values("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "Q2_K", "Q3_K", "IQ4_NL", "IQ4_XS",
                                         "MXFP4", "TQ1_0", "TQ2_0", "IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S"),
                         [](const auto& test) { return std::string(test.param); });

TEST(BlockTypes, EveryTypeStandsAtItsPlaceInTheTable) {
  for (int type = 0; type <= static_cast<int>(DType::f64); ++type) {
    const DTypeInfo& info = dtype_info(static_cast<DType>(type));
    EXPECT_EQ(static_cast<int>(info.type), type);
    EXPECT_EQ(parse_dtype(info.name), info.type);
    EXPECT_EQ(info.quantized, info.block_size > 1) << info.name;
    EXPECT_EQ(info.quantized, published().has(info.name)) << info.name << " is not tested above";
  }
}

}  // namespace
}  // namespace vitrine
