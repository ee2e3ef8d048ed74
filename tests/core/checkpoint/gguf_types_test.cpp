#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <span>
#include <string>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "tests/core/checkpoint/scratch_file.h"

// A GGUF file with one tensor of every type that is read; the numbers of the types are ggml's.

namespace vitrine {
namespace {

struct Code {
  std::uint32_t number;
  DType type;
};
constexpr std::array codes{Code{0, DType::f32},   Code{1, DType::f16},   Code{2, DType::q4_0}, Code{3, DType::q4_1},  Code{6, DType::q5_0},
                           Code{7, DType::q5_1},  Code{8, DType::q8_0},  Code{12, DType::q4_k}, Code{13, DType::q5_k}, Code{14, DType::q6_k},
                           Code{24, DType::i8},   Code{26, DType::i32},  Code{27, DType::i64}, Code{30, DType::bf16}, Code{25, DType::i16}, Code{28, DType::f64},
                           Code{10, DType::q2_k}, Code{11, DType::q3_k}, Code{20, DType::iq4_nl}, Code{23, DType::iq4_xs},
                           Code{16, DType::iq2_xxs}, Code{17, DType::iq2_xs}, Code{22, DType::iq2_s}, Code{18, DType::iq3_xxs}, Code{21, DType::iq3_s},
                           Code{19, DType::iq1_s}, Code{29, DType::iq1_m}, Code{34, DType::tq1_0}, Code{35, DType::tq2_0}, Code{39, DType::mxfp4}};
constexpr std::uint64_t rows = 3, cols = 512;

template <typename T>
void append(std::string& bytes, T number) {
  bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
}

std::uint64_t padded(std::uint64_t bytes) { return (bytes + 31) / 32 * 32; }

/// Version, counts, one entry a tensor named after its type, zeros.
std::string file_of(std::span<const Code> types, std::uint64_t row_numbers) {
  std::string bytes = "GGUF";
  append(bytes, std::uint32_t{3});
  append(bytes, std::uint64_t{types.size()});
  append(bytes, std::uint64_t{0});
  std::uint64_t data = 0;
  for (const Code& code : types) {
    const DTypeInfo& info = dtype_info(code.type);
    append(bytes, std::uint64_t{info.name.size()});
    bytes += info.name;
    append(bytes, std::uint32_t{2});
    append(bytes, row_numbers);
    append(bytes, rows);
    append(bytes, code.number);
    append(bytes, data);
    data += padded(rows * (row_numbers / info.block_size * info.block_bytes));
  }
  bytes.resize(padded(bytes.size()) + data);
  return bytes;
}

class GgufTypes : public testing::Test {
 protected:
  Checkpoint open(const std::string& bytes) { return open_checkpoint(file_.write(bytes)); }
  std::string complaint(const std::string& bytes) {
    try {
      open(bytes);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  ScratchFile file_{"types.gguf"};
};

TEST_F(GgufTypes, EveryTypeIsReadUnderItsNumber) {
  const Checkpoint checkpoint = open(file_of(codes, cols));
  ASSERT_EQ(checkpoint.tensors.size(), codes.size());
  for (const Code& code : codes) {
    const NamedTensor* tensor = checkpoint.find(dtype_info(code.type).name);
    ASSERT_NE(tensor, nullptr) << dtype_info(code.type).name;
    EXPECT_EQ(tensor->weight.type, code.type);
    EXPECT_EQ(tensor->weight.bytes(), rows * row_bytes(code.type, cols)) << dtype_info(code.type).name;
  }
}

TEST_F(GgufTypes, PartsOfBlocksAndMissingBytesAreRefused) {
  for (const Code& code : codes) {
    const std::string whole = file_of({&code, 1}, cols), name(dtype_info(code.type).name);
    const std::size_t padding = padded(rows * row_bytes(code.type, cols)) - rows * row_bytes(code.type, cols);
    EXPECT_EQ(complaint(whole.substr(0, whole.size() - padding)), "") << name;
    EXPECT_NE(complaint(whole.substr(0, whole.size() - padding - 1)), "") << name;
    EXPECT_EQ(complaint(file_of({&code, 1}, cols - 1)) != "", dtype_info(code.type).quantized) << name;
  }
}

TEST_F(GgufTypes, AnUnknownNumberIsNamed) {
  for (const std::uint32_t number : {4u, 5u, 9u, 15u, 40u, 99u}) {
    const Code code{number, DType::f32};
    EXPECT_NE(complaint(file_of({&code, 1}, cols)).find("ggml type " + std::to_string(number)), std::string::npos);
  }
}

TEST_F(GgufTypes, AChangedByteOfTheTableNeverCrashes) {
  const std::string whole = file_of(codes, cols);
  for (std::size_t at = 4; at < 1000; ++at) {
    for (const char value : {'\x00', '\x06', '\x07', '\x0d', '\x7f', '\xff'}) {
      std::string bytes = whole;
      bytes[at] = value;
      const std::string text = complaint(bytes);
      EXPECT_EQ(text.find('\n'), std::string::npos) << text;
    }
  }
}

}  // namespace
}  // namespace vitrine
