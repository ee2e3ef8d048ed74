// State dictionaries of torch.save (make_pytorch.py in this folder made them) against the same tensors in safetensors, and hostile
// files, put together here.
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/base/error.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/zip_file.h"
#include "tests/core/checkpoint/scratch_file.h"

namespace vitrine {
namespace {

namespace fs = std::filesystem;
using namespace std::string_literals;

fs::path made(const char* name) { return fs::path(VITRINE_TEST_DATA) / "core" / "checkpoint" / "pytorch" / name; }

std::string read(const fs::path& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

class PyTorchFiles : public testing::TestWithParam<const char*> {};

TEST_P(PyTorchFiles, EveryTensorIsTheOneThatWasSaved) {
  const Checkpoint found = open_checkpoint(made(GetParam())), expected = open_checkpoint(made("expected.safetensors"));
  EXPECT_EQ(found.format, "pytorch");
  ASSERT_EQ(found.tensors.size(), expected.tensors.size());
  for (std::size_t i = 0; i < found.tensors.size(); ++i) {
    const NamedTensor &a = found.tensors[i], &b = expected.tensors[i];
    EXPECT_EQ(a.name, b.name);
    EXPECT_EQ(a.shape, b.shape) << a.name;
    ASSERT_EQ(a.weight.type, b.weight.type) << a.name;
    ASSERT_EQ(a.weight.rows, b.weight.rows) << a.name;
    ASSERT_EQ(a.weight.cols, b.weight.cols) << a.name;
    EXPECT_EQ(std::memcmp(a.weight.data, b.weight.data, a.weight.bytes()), 0) << a.name;
  }
}

TEST_P(PyTorchFiles, SharedAndDenseTensorsAreNotCopied) {
  const Checkpoint found = open_checkpoint(made(GetParam()));
  if (std::string_view(GetParam()) == "old.bin") GTEST_SKIP() << "the old layout puts numbers at any address: they are copied";
  const auto data = [&](const char* name) { return found.find(name)->weight.data; };
  EXPECT_EQ(data("shared"), data("shared_again"));
  EXPECT_EQ(data("rows_2_to_4"), data("shared") + std::ptrdiff_t{2 * 6 * 4});
}

TEST_P(PyTorchFiles, NoShorterFileOpensAndNoChangedByteCrashes) {
  const std::string whole = read(made(GetParam()));
  const ScratchFile file("pytorch_model.bin");
  const auto opens = [&](const std::string& bytes) {
    try {
      open_checkpoint(file.write(bytes));
      return true;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("pytorch_model"), std::string::npos) << error.what();
      EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
      return false;
    }
  };
  EXPECT_TRUE(opens(whole));
  for (std::size_t length = 0; length < whole.size(); ++length) EXPECT_FALSE(opens(whole.substr(0, length))) << length << " bytes";
  for (std::size_t at = 0; at < whole.size(); ++at) {
    for (const char value : {'\x00', '\x7f', '\xff'}) {
      std::string bytes = whole;
      bytes[at] = value;
      opens(bytes);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, PyTorchFiles, testing::Values("zip.bin", "old.bin", "protocol4.bin", "wrapped.bin"));

template <typename T>
std::string bytes_of(T number) {
  return {reinterpret_cast<const char*>(&number), sizeof number};
}

struct File {
  std::string name, bytes;
  std::uint16_t method = 0, flags = 0;
};

/// A zip file of these files.
std::string zip_of(const std::vector<File>& files) {
  std::string all, directory;
  for (const File& file : files) {
    const std::uint32_t sum = crc32(std::as_bytes(std::span(file.bytes))), size = static_cast<std::uint32_t>(file.bytes.size());
    const std::string common = bytes_of<std::uint16_t>(20) + bytes_of(file.flags) + bytes_of(file.method) + bytes_of<std::uint32_t>(0) + bytes_of(sum) +
                               bytes_of(size) + bytes_of(size) + bytes_of(static_cast<std::uint16_t>(file.name.size())) + bytes_of<std::uint16_t>(0);
    directory += bytes_of<std::uint32_t>(0x02014b50) + bytes_of<std::uint16_t>(20) + common + bytes_of<std::uint16_t>(0) + std::string(8, '\0') +
                 bytes_of(static_cast<std::uint32_t>(all.size())) + file.name;
    all += bytes_of<std::uint32_t>(0x04034b50) + common + file.name + file.bytes;
  }
  const auto count = static_cast<std::uint16_t>(files.size());
  return all + directory + bytes_of<std::uint32_t>(0x06054b50) + bytes_of<std::uint32_t>(0) + bytes_of(count) + bytes_of(count) +
         bytes_of(static_cast<std::uint32_t>(directory.size())) + bytes_of(static_cast<std::uint32_t>(all.size())) + bytes_of<std::uint16_t>(0);
}

std::string text(const std::string& word) { return "X" + bytes_of(static_cast<std::uint32_t>(word.size())) + word; }
std::string whole(std::int32_t number) { return "J" + bytes_of(number); }

std::string tuple(std::initializer_list<std::int32_t> numbers) {
  std::string made = "(";
  for (const std::int32_t number : numbers) made += whole(number);
  return made + "t";
}

/// {name: tensor} with one storage of 12 f32 numbers.
std::string dictionary(std::int32_t offset, const std::string& shape, const std::string& strides) {
  const std::string id = "(" + text("storage") + "ctorch\nFloatStorage\n" + text("0") + text("cpu") + whole(12) + "tQ";
  return "\x80\x02}"s + text("w") + "ctorch._utils\n_rebuild_tensor_v2\n(" + id + whole(offset) + shape + strides + "\x89" "ccollections\nOrderedDict\n)RtRs.";
}

class HostilePyTorch : public testing::Test {
 protected:
  std::string complaint(const std::string& bytes) {
    try {
      open_checkpoint(file_.write(bytes));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  std::string complaint_of_pickle(const std::string& pickle) { return complaint(zip_of({{"m/data.pkl", pickle}, {"m/data/0", std::string(48, '\1')}})); }
  void expect_refused(const std::string& complaint, const char* word) { EXPECT_NE(complaint.find(word), std::string::npos) << word << ": " << complaint; }

  ScratchFile file_{"hostile.bin"};
};

TEST_F(HostilePyTorch, WhatIsNoTensorIsRefusedByName) {
  expect_refused(complaint_of_pickle("\x80\x02" "cos\nsystem\n" + text("touch /tmp/x") + "\x85R."), "'os.system'");
  expect_refused(complaint_of_pickle("\x80\x04" + "\x8c\x08"s + "builtins" + "\x8c\x04"s + "eval" + "\x93."), "'builtins.eval'");
  expect_refused(complaint_of_pickle("\x80\x02(ios\nsystem\n."), "INST");
  expect_refused(complaint_of_pickle("\x80\x02" "ccollections\nOrderedDict\n)\x81."), "NEWOBJ");
  expect_refused(complaint_of_pickle("\x80\x02\x82\x01."), "EXT1");
  expect_refused(complaint_of_pickle("\x80\x02" "Pa\n."), "PERSID");
  expect_refused(complaint_of_pickle("\x80\x02" "ctorch\nQInt8Storage\n."), "'torch.QInt8Storage'");
  expect_refused(complaint_of_pickle("\x80\x02" "ctorch.storage\nUntypedStorage\n."), "UntypedStorage");
  expect_refused(complaint_of_pickle("\x80\x02]."), "a dictionary of tensors");
  expect_refused(complaint_of_pickle("\x80\x02}."), "state_dict");
  expect_refused(complaint_of_pickle("\x80\x02h\x05."), "remembered");
  expect_refused(complaint_of_pickle("\x80\x02t."), "mark");
  expect_refused(complaint_of_pickle("\x80\x02."), "a value on the stack");
  expect_refused(complaint_of_pickle("\x80\x09}."), "protocol");
}

TEST_F(HostilePyTorch, TensorsStayInsideTheirStorages) {
  EXPECT_EQ(complaint_of_pickle(dictionary(0, tuple({3, 4}), tuple({4, 1}))), "");
  EXPECT_EQ(complaint_of_pickle(dictionary(0, tuple({4, 3}), tuple({1, 4}))), "");
  EXPECT_EQ(complaint_of_pickle(dictionary(6, tuple({2, 3}), tuple({3, 1}))), "");
  expect_refused(complaint_of_pickle(dictionary(1, tuple({3, 4}), tuple({4, 1}))), "leaves it");
  expect_refused(complaint_of_pickle(dictionary(0, tuple({3, 4}), tuple({5, 1}))), "leaves it");
  expect_refused(complaint_of_pickle(dictionary(0, tuple({0x7fffffff, 0x7fffffff, 0x7fffffff}), tuple({0, 0, 0}))), "leaves it");
  expect_refused(complaint_of_pickle(dictionary(0, tuple({0x7fffffff, 2}), tuple({0, 0}))), "repeat");
  expect_refused(complaint_of_pickle(dictionary(-1, tuple({1}), tuple({1}))), "from 0");
  expect_refused(complaint_of_pickle(dictionary(0, tuple({3, 4}), tuple({-4, 1}))), "from 0");
  expect_refused(complaint_of_pickle(dictionary(0, tuple({3, 4}), tuple({1}))), "stride");
  expect_refused(complaint_of_pickle(dictionary(0, tuple({1, 1, 1, 1, 1, 1, 1, 1, 1}), tuple({1, 1, 1, 1, 1, 1, 1, 1, 1}))), "8 axes");
}

TEST_F(HostilePyTorch, TheZipFileIsChecked) {
  const std::string pickle = dictionary(0, tuple({3, 4}), tuple({4, 1})), numbers(48, '\1');
  EXPECT_EQ(complaint(zip_of({{"m/data.pkl", pickle}, {"m/byteorder", "little"}, {"m/data/0", numbers}})), "");
  expect_refused(complaint(zip_of({{"m/data.pkl", pickle}, {"m/byteorder", "big"}, {"m/data/0", numbers}})), "byteorder");
  expect_refused(complaint(zip_of({{"m/data.pkl", pickle}})), "storage '0'");
  expect_refused(complaint(zip_of({{"m/data.pkl", pickle}, {"m/data/0", numbers.substr(4)}})), "storage '0'");
  expect_refused(complaint(zip_of({{"m/data.pkl", pickle}, {"m/data/0", numbers + "1234"}})), "storage '0'");
  expect_refused(complaint(zip_of({{"m/data.pkl", pickle}, {"m/data/0", numbers}, {"m/data/0", numbers}})), "one of this name");
  expect_refused(complaint(zip_of({{"m/data.pkl", pickle, 8}, {"m/data/0", numbers}})), "method 8");
  expect_refused(complaint(zip_of({{"m/data.pkl", pickle, 0, 1}, {"m/data/0", numbers}})), "encrypted");
  expect_refused(complaint(zip_of({{"m/x", pickle}, {"m/data/0", numbers}})), "data.pkl");
  expect_refused(complaint(zip_of({{"m/data.pkl", pickle}, {"m/constants.pkl", ""}, {"m/data/0", numbers}})), "TorchScript");
  std::string wrong_sum = zip_of({{"m/data.pkl", pickle}, {"m/data/0", numbers}});
  wrong_sum[wrong_sum.find("storage")] = 'S';
  expect_refused(complaint(wrong_sum), "check sum");
  std::string overlap = zip_of({{"m/data.pkl", pickle}, {"m/data/0", numbers}});
  overlap.replace(overlap.rfind("m/data/0") - 4, 4, bytes_of<std::uint32_t>(0));
  expect_refused(complaint(overlap), "m/data");
}

}  // namespace
}  // namespace vitrine
