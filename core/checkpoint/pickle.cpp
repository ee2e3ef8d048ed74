#include "core/checkpoint/pickle.h"

#include <algorithm>
#include <bit>
#include <unordered_map>

#include "core/checkpoint/cursor.h"

// Python's Lib/pickletools.py describes every opcode. A pickle is a program for a stack machine; this one has no instruction
// that runs anything: GLOBAL pushes a name, REDUCE pushes the pair of a name and its arguments.

namespace vitrine {
namespace {

using Kind = PickleValue::Kind;
// Values take some 100 bytes each; the largest published models need 100,000 values in 2 MB.
constexpr std::size_t most_values = 4'000'000;
constexpr std::uint64_t most_bytes = std::uint64_t{64} << 20;

enum Opcode : std::uint8_t {
  mark = '(', stop = '.', pop = '0', pop_mark = '1', dup = '2', binfloat = 'G', binint = 'J', binint1 = 'K', binint2 = 'M', none = 'N',
  binpersid = 'Q', reduce = 'R', binstring = 'T', short_binstring = 'U', binunicode = 'X', append = 'a', build = 'b', global = 'c',
  appends = 'e', binget = 'h', long_binget = 'j', binput = 'q', long_binput = 'r', setitem = 's', tuple = 't', setitems = 'u',
  empty_tuple = ')', empty_list = ']', empty_dict = '}', binbytes = 'B', short_binbytes = 'C', proto = 0x80, tuple1 = 0x85, tuple2 = 0x86,
  tuple3 = 0x87, newtrue = 0x88, newfalse = 0x89, long1 = 0x8a, short_binunicode = 0x8c, binunicode8 = 0x8d, binbytes8 = 0x8e,
  stack_global = 0x93, memoize = 0x94, frame = 0x95,
};

/// Names of those that a checkpoint of tensors has no use for.
std::string name_of(std::uint8_t opcode) {
  static const std::unordered_map<int, const char*> names{
      {'i', "INST"}, {'o', "OBJ"}, {'P', "PERSID"}, {0x81, "NEWOBJ"}, {0x92, "NEWOBJ_EX"}, {0x82, "EXT1"}, {0x83, "EXT2"}, {0x84, "EXT4"},
      {'I', "INT"}, {'L', "LONG"}, {'F', "FLOAT"}, {'S', "STRING"}, {'V', "UNICODE"}, {'g', "GET"}, {'p', "PUT"}, {'d', "DICT"}, {'l', "LIST"},
      {0x8b, "LONG4"}, {0x8f, "EMPTY_SET"}, {0x90, "ADDITEMS"}, {0x91, "FROZENSET"}, {0x96, "BYTEARRAY8"}, {0x97, "NEXT_BUFFER"}, {0x98, "READONLY_BUFFER"}};
  const auto found = names.find(opcode);
  return (found == names.end() ? std::string("none of pickle's") : found->second) + " (" + std::to_string(opcode) + ")";
}

class Machine {
 public:
  Machine(Cursor in, const std::function<bool(std::string_view)>& allowed) : in_(std::move(in)), allowed_(allowed) {}

  Pickle run() {
    for (;;) {
      at_ = in_.at();
      const auto opcode = in_.number<std::uint8_t>("pickle");
      if (opcode == stop) break;
      if (!plain(opcode) && !memory(opcode) && !container(opcode)) {
        fail("opcodes of a checkpoint of tensors", name_of(opcode), "it holds more than tensors; nothing of it was executed");
      }
    }
    result_.root = popped();
    result_.end = in_.at();
    return std::move(result_);
  }

 private:
  [[noreturn]] void fail(std::string expected, std::string found, std::string advice = "") const {
    throw Error({in_.where() + ": pickle at offset " + std::to_string(at_), std::move(expected), std::move(found), std::move(advice)});
  }

  bool push(PickleValue value) {
    if (result_.values.size() >= most_values) fail("at most " + std::to_string(most_values) + " values", "more");
    stack_.push_back(static_cast<std::uint32_t>(result_.values.size()));
    result_.values.push_back(std::move(value));
    return true;
  }
  bool push(std::int64_t number) { return push({.kind = Kind::integer, .integer = number, .text = {}, .items = {}}); }
  bool push(Kind kind, std::string text) { return push({.kind = kind, .text = std::move(text), .items = {}}); }
  bool push(Kind kind, std::vector<std::uint32_t> items) { return push({.kind = kind, .text = {}, .items = std::move(items)}); }

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  std::uint32_t popped() {
    if (stack_.size() <= floor()) fail("a value on the stack", "none");
    const std::uint32_t value = stack_.back();
    stack_.pop_back();
    return value;
  }

  std::vector<std::uint32_t> popped(std::size_t count) {
    if (stack_.size() - floor() < count) fail(std::to_string(count) + " values on the stack", "fewer");
    std::vector<std::uint32_t> values(stack_.end() - static_cast<std::ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return values;
  }

  std::vector<std::uint32_t> popped_to_mark() {
    if (marks_.empty()) fail("a mark on the stack", "none");
    std::vector<std::uint32_t> values = popped(stack_.size() - marks_.back());
    marks_.pop_back();
    return values;
  }

  PickleValue& top(std::initializer_list<Kind> kinds) {
    if (stack_.size() <= floor()) fail("a value on the stack", "none");
    PickleValue& value = result_.values[stack_.back()];
    if (std::find(kinds.begin(), kinds.end(), value.kind) == kinds.end()) fail("a container", "another value");
    return value;
  }

  bool push_global(const std::string& module, const std::string& name) {
    const std::string whole = module + "." + name;
    if (!allowed_(whole)) fail("names of tensors and their storages", quoted(whole), "it holds more than tensors; nothing of it was executed");
    return push(Kind::global, whole);
  }

  std::string line() {
    std::string text;
    for (char c; (c = in_.number<char>("pickle")) != '\n';) text += c;
    return text;
  }

  std::string popped_text() {
    const PickleValue& value = result_.values[popped()];
    if (value.kind != Kind::text) fail("a text", "another value");
    return value.text;
  }

  /// A whole number of two's complement; what does not fit into 64 bits stays bytes.
  bool push_long() {
    const std::string digits = in_.text(in_.number<std::uint8_t>("pickle"), "pickle");
    if (digits.size() > sizeof(std::int64_t)) return push(Kind::integer, digits);
    std::uint64_t number = !digits.empty() && (digits.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
    std::memcpy(&number, digits.data(), digits.size());
    return push(static_cast<std::int64_t>(number));
  }

  bool push_float() {
    return push({.kind = Kind::number, .number = std::bit_cast<double>(__builtin_bswap64(in_.number<std::uint64_t>("pickle"))), .text = {}, .items = {}});
  }

  template <typename Length>
  bool push_bytes(Kind kind) {
    const auto length = in_.number<Length>("pickle");
    return push(kind, in_.text(length, "pickle"));
  }

  /// Values that stand for themselves.
  bool plain(std::uint8_t opcode) {
    switch (opcode) {
      case proto: {
        const auto version = in_.number<std::uint8_t>("pickle");
        if (version > 5) fail("protocol 1 to 5", std::to_string(version));
        return true;
      }
      case frame: return in_.number<std::uint64_t>("pickle"), true;
      case none: return push(Kind::none, "");
      case newtrue: return push({.kind = Kind::boolean, .integer = 1, .text = {}, .items = {}});
      case newfalse: return push({.kind = Kind::boolean, .text = {}, .items = {}});
      case binint: return push(in_.number<std::int32_t>("pickle"));
      case binint1: return push(in_.number<std::uint8_t>("pickle"));
      case binint2: return push(in_.number<std::uint16_t>("pickle"));
      case long1: return push_long();
      case binfloat: return push_float();
      case short_binstring:
      case short_binunicode: return push_bytes<std::uint8_t>(Kind::text);
      case binstring:
      case binunicode: return push_bytes<std::uint32_t>(Kind::text);
      case binunicode8: return push_bytes<std::uint64_t>(Kind::text);
      case short_binbytes: return push_bytes<std::uint8_t>(Kind::bytes);
      case binbytes: return push_bytes<std::uint32_t>(Kind::bytes);
      case binbytes8: return push_bytes<std::uint64_t>(Kind::bytes);
      default: return false;
    }
  }

  /// Stack and memo.
  bool memory(std::uint8_t opcode) {
    switch (opcode) {
      case mark: return marks_.push_back(stack_.size()), true;
      case pop: return popped(), true;
      case pop_mark: return popped_to_mark(), true;
      case dup: return stack_.push_back(top_place()), true;
      case binput: return remember(in_.number<std::uint8_t>("pickle"));
      case long_binput: return remember(in_.number<std::uint32_t>("pickle"));
      case memoize: return remember(static_cast<std::uint32_t>(memo_.size()));
      case binget: return recall(in_.number<std::uint8_t>("pickle"));
      case long_binget: return recall(in_.number<std::uint32_t>("pickle"));
      default: return false;
    }
  }

  std::uint32_t top_place() const {
    if (stack_.size() <= floor()) fail("a value on the stack", "none");
    return stack_.back();
  }

  bool remember(std::uint32_t place) {
    if (memo_.size() >= most_values) fail("at most " + std::to_string(most_values) + " remembered values", "more");
    memo_[place] = top_place();
    return true;
  }

  bool recall(std::uint32_t place) {
    const auto found = memo_.find(place);
    if (found == memo_.end()) fail("a remembered value", "none under " + std::to_string(place));
    stack_.push_back(found->second);
    return true;
  }

  bool put(std::initializer_list<Kind> kinds, const std::vector<std::uint32_t>& values) {
    std::vector<std::uint32_t>& items = top(kinds).items;
    items.insert(items.end(), values.begin(), values.end());
    return true;
  }

  bool put_pairs(const std::vector<std::uint32_t>& values) {
    if (values.size() % 2 != 0) fail("keys with values", "an odd number of them");
    return put({Kind::dict, Kind::call}, values);
  }

  bool container(std::uint8_t opcode) {
    switch (opcode) {
      case empty_tuple: return push(Kind::tuple, std::vector<std::uint32_t>{});
      case empty_list: return push(Kind::list, std::vector<std::uint32_t>{});
      case empty_dict: return push(Kind::dict, std::vector<std::uint32_t>{});
      case tuple1: return push(Kind::tuple, popped(1));
      case tuple2: return push(Kind::tuple, popped(2));
      case tuple3: return push(Kind::tuple, popped(3));
      case tuple: return push(Kind::tuple, popped_to_mark());
      case append: return put({Kind::list}, popped(1));
      case appends: return put({Kind::list}, popped_to_mark());
      case setitem: return put_pairs(popped(2));
      case setitems: return put_pairs(popped_to_mark());
      case binpersid: return push(Kind::persistent, popped(1));
      case global: {
        const std::string module = line();
        return push_global(module, line());
      }
      case stack_global: {
        const std::string name = popped_text();
        return push_global(popped_text(), name);
      }
      case reduce: return push_call();
      case build: {
        popped();  // the attributes themselves: torch's _metadata says nothing about the tensors in a dictionary
        return top({Kind::dict, Kind::call}).integer = 1, true;
      }
      default: return false;
    }
  }

  bool push_call() {
    std::vector<std::uint32_t> call = popped(2);
    if (result_.values[call[0]].kind != Kind::global || result_.values[call[1]].kind != Kind::tuple) fail("a name and a tuple to call it with", "other values");
    return push(Kind::call, std::move(call));
  }

  Cursor in_;
  const std::function<bool(std::string_view)>& allowed_;
  Pickle result_;
  std::vector<std::uint32_t> stack_;
  std::vector<std::size_t> marks_;  // heights of the stack
  std::unordered_map<std::uint32_t, std::uint32_t> memo_;
  std::uint64_t at_ = 0;  // of the opcode, for errors
};

}  // namespace

Pickle read_pickle(const std::string& where, std::span<const std::byte> bytes, std::uint64_t offset, const std::function<bool(std::string_view)>& allowed) {
  const std::uint64_t left = bytes.size() - std::min<std::uint64_t>(offset, bytes.size());
  return Machine(Cursor(where, bytes.subspan(0, bytes.size() - left + std::min(left, most_bytes)), offset), allowed).run();
}

}  // namespace vitrine
