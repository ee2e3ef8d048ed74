#include <algorithm>
#include <array>
#include <cstring>
#include <fstream>
#include <map>
#include <optional>

#include "core/base/error.h"
#include "core/checkpoint/cursor.h"
#include "core/checkpoint/pickle.h"
#include "core/checkpoint/tensor_table.h"
#include "core/checkpoint/weight_files.h"
#include "core/checkpoint/zip_file.h"

// What torch.save writes of a state dictionary (torch/serialization.py): since PyTorch 1.6 a zip file of data.pkl and one file a
// storage, before that five pickles and then the storages. Only tensors are read; nothing is executed.

namespace vitrine {
namespace {

namespace fs = std::filesystem;
using Kind = PickleValue::Kind;

struct StorageClass {
  std::string_view name;  // torch's class, without "Storage"
  DType type;
};
constexpr std::array storage_classes{StorageClass{"Float", DType::f32}, StorageClass{"Half", DType::f16}, StorageClass{"BFloat16", DType::bf16},
                                     StorageClass{"Double", DType::f64}, StorageClass{"Long", DType::i64}, StorageClass{"Int", DType::i32},
                                     StorageClass{"Short", DType::i16}, StorageClass{"Char", DType::i8}, StorageClass{"Byte", DType::i8},
                                     StorageClass{"Bool", DType::i8}};

/// "torch.FloatStorage", "torch.cuda.FloatStorage"
std::optional<DType> storage_type(std::string_view global) {
  for (const std::string_view module : {"torch.cuda.", "torch."}) {
    if (!global.starts_with(module)) continue;
    for (const StorageClass& entry : storage_classes) {
      if (global.substr(module.size()) == std::string(entry.name) + "Storage") return entry.type;
    }
  }
  return std::nullopt;
}

constexpr std::string_view dictionary = "collections.OrderedDict", parameter = "torch._utils._rebuild_parameter",
                           tensor_v1 = "torch._utils._rebuild_tensor", tensor_v2 = "torch._utils._rebuild_tensor_v2";

/// Globals that a state dictionary needs. Those of the last rows describe tensors and are not looked into.
bool is_allowed(std::string_view global) {
  static constexpr std::array others{dictionary, parameter, tensor_v1, tensor_v2,
                                     std::string_view("torch.Size"), std::string_view("torch.device"), std::string_view("torch.serialization._get_layout"),
                                     std::string_view("torch.float32"), std::string_view("torch.float16"), std::string_view("torch.bfloat16"),
                                     std::string_view("torch.float64"), std::string_view("torch.int64"), std::string_view("torch.int32"),
                                     std::string_view("torch.int16"), std::string_view("torch.int8"), std::string_view("torch.uint8"), std::string_view("torch.bool")};
  return storage_type(global) || std::find(others.begin(), others.end(), global) != others.end();
}

/// Bytes that tensors share, as the file holds them.
struct Storage {
  DType type = DType::f32;
  std::uint64_t count = 0, begin = 0;  // numbers; offset in the file
};

/// A file whose storages were found, and the pickle that says which tensors lie in them.
struct Opened {
  std::string where;
  std::shared_ptr<const MappedFile> file;
  Pickle pickle;
  std::map<std::string, Storage> storages;  // by torch's keys
};

[[noreturn]] void refuse(const std::string& where, std::string expected, std::string found, std::string advice = "") {
  throw Error({where, std::move(expected), std::move(found), std::move(advice)});
}

const PickleValue& item(const Opened& opened, const PickleValue& value, std::size_t index, Kind kind) {
  const bool there = index < value.items.size() && opened.pickle.at(value.items[index]).kind == kind;
  if (!there) refuse(opened.where, "tensors as torch.save describes them", "another description");
  return opened.pickle.at(value.items[index]);
}

std::uint64_t natural(const Opened& opened, const PickleValue& value, std::size_t index) {
  const PickleValue& number = item(opened, value, index, Kind::integer);
  if (number.integer < 0 || !number.text.empty()) refuse(opened.where, "sizes, offsets and strides from 0", "another number");
  return static_cast<std::uint64_t>(number.integer);
}

/// The storages that persistent ids ("storage", class, key, place, count[, view]) name, without their places in the file.
void collect_storages(Opened& opened) {
  for (const PickleValue& value : opened.pickle.values) {
    if (value.kind != Kind::persistent) continue;
    const PickleValue& id = item(opened, value, 0, Kind::tuple);
    const auto type = storage_type(item(opened, id, 1, Kind::global).text);
    if (item(opened, id, 0, Kind::text).text != "storage" || !type) refuse(opened.where, "storages of tensors", "another persistent object");
    if (id.items.size() > 5) item(opened, id, 5, Kind::none);  // views of views of PyTorch 0.3
    const Storage storage{*type, natural(opened, id, 4), 0};
    const auto [known, fresh] = opened.storages.emplace(item(opened, id, 2, Kind::text).text, storage);
    if (!fresh && (known->second.type != storage.type || known->second.count != storage.count)) {
      refuse(opened.where + ": storage " + quoted(known->first), "one type and size", "two");
    }
  }
}

/// Bytes of a storage's numbers, checked against those there are.
std::uint64_t storage_bytes(const Opened& opened, const std::string& key, const Storage& storage, std::uint64_t available) {
  std::uint64_t bytes = 0;
  if (__builtin_mul_overflow(storage.count, std::uint64_t{dtype_info(storage.type).block_bytes}, &bytes) || bytes > available) {
    refuse(opened.where + ": storage " + quoted(key), std::to_string(storage.count) + " numbers of " + std::string(dtype_info(storage.type).name),
           std::to_string(available) + " bytes", "the file is cut short; fetch it again");
  }
  return bytes;
}

Opened open_zip(const fs::path& path) {
  Opened opened{path.string(), std::make_shared<const MappedFile>(path), {}, {}};
  const std::span<const std::byte> bytes = opened.file->bytes();
  std::map<std::string, ZipEntry> entries;
  for (ZipEntry& entry : stored_entries(opened.where, bytes)) entries.emplace(entry.name, entry);
  const auto pickle = std::find_if(entries.begin(), entries.end(), [](const auto& entry) { return entry.first == "data.pkl" || entry.first.ends_with("/data.pkl"); });
  if (pickle == entries.end()) refuse(opened.where, "a file data.pkl in the zip file, as torch.save writes it", "none");
  const std::string folder = pickle->first.substr(0, pickle->first.size() - std::strlen("data.pkl"));
  if (entries.contains(folder + "constants.pkl")) refuse(opened.where, "a state dictionary", "a TorchScript program", "save model.state_dict() instead");
  const auto content = [&](const ZipEntry& entry) { return bytes.subspan(entry.begin, entry.size); };
  if (const auto order = entries.find(folder + "byteorder"); order != entries.end()) {
    const auto text = content(order->second);
    if (std::string_view(reinterpret_cast<const char*>(text.data()), text.size()) != "little") refuse(opened.where + ": byteorder", "little", "another");
  }
  if (crc32(content(pickle->second)) != pickle->second.crc32) refuse(opened.where + ": data.pkl", "its check sum", "another", "the file is damaged; fetch it again");
  opened.pickle = read_pickle(opened.where, bytes.subspan(0, pickle->second.begin + pickle->second.size), pickle->second.begin, is_allowed);
  collect_storages(opened);
  for (auto& [key, storage] : opened.storages) {
    const auto entry = entries.find(folder + "data/" + key);
    if (entry == entries.end()) refuse(opened.where + ": storage " + quoted(key), "its bytes in the zip file", "none");
    if (storage_bytes(opened, key, storage, entry->second.size) != entry->second.size) {
      refuse(opened.where + ": storage " + quoted(key), std::to_string(storage.count) + " numbers of " + std::string(dtype_info(storage.type).name),
             std::to_string(entry->second.size) + " bytes");
    }
    storage.begin = entry->second.begin;
  }
  return opened;
}

// Little-endian bytes of the number that old files begin with, as a pickle: PROTO 2, LONG1 of ten bytes, STOP.
constexpr std::string_view old_magic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);

/// Magic number, version, what the machine was, the dictionary, the storages' keys; then for each key a count and its numbers.
Opened open_old(const fs::path& path) {
  Opened opened{path.string(), std::make_shared<const MappedFile>(path), {}, {}};
  const std::span<const std::byte> bytes = opened.file->bytes();
  const Pickle version = read_pickle(opened.where, bytes, old_magic.size(), is_allowed);
  if (version.at(version.root).integer != 1001) refuse(opened.where, "version 1001 of torch.save's old layout", "another");
  const Pickle machine = read_pickle(opened.where, bytes, version.end, is_allowed);
  const PickleValue& facts = machine.at(machine.root);
  for (std::size_t i = 0; i + 1 < facts.items.size(); i += 2) {
    if (machine.at(facts.items[i]).text == "little_endian" && machine.at(facts.items[i + 1]).integer != 1) refuse(opened.where, "little-endian numbers", "others");
  }
  opened.pickle = read_pickle(opened.where, bytes, machine.end, is_allowed);
  collect_storages(opened);
  const Pickle keys = read_pickle(opened.where, bytes, opened.pickle.end, is_allowed);
  std::uint64_t at = keys.end, found = 0;
  for (const std::uint32_t place : keys.at(keys.root).items) {
    const auto storage = opened.storages.find(keys.at(place).text);
    if (storage == opened.storages.end() || storage->second.begin != 0) refuse(opened.where + ": storage " + quoted(keys.at(place).text), "one that a tensor uses, once", "another");
    Cursor in(opened.where, bytes, at);
    const auto count = in.number<std::uint64_t>("storage " + quoted(storage->first));
    if (count != storage->second.count) in.fail("storage " + quoted(storage->first), std::to_string(storage->second.count) + " numbers", std::to_string(count));
    storage->second.begin = in.at();
    at = in.at() + storage_bytes(opened, storage->first, storage->second, in.left());
    ++found;
  }
  if (found != opened.storages.size()) refuse(opened.where, "the bytes of " + std::to_string(opened.storages.size()) + " storages", std::to_string(found));
  return opened;
}

/// A tensor as the pickle describes it, checked against its storage.
struct Placed {
  std::string name;
  Storage storage;
  std::uint64_t offset = 0;                     // numbers
  std::vector<std::uint64_t> shape, strides;    // strides count numbers
  std::uint64_t count = 1;                      // numbers of the tensor
};

/// Whether the tensor is its storage's bytes as they lie there.
bool is_dense(const Placed& tensor) {
  std::uint64_t step = 1;
  for (std::size_t axis = tensor.shape.size(); axis-- > 0; step *= tensor.shape[axis]) {
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != step) return false;
  }
  return true;
}

/// Turns descriptions into tensors.
class Reader {
 public:
  explicit Reader(const Opened& opened) : opened_(opened), copies_left_(2 * opened.file->bytes().size()) {}

  std::vector<NamedTensor> read() {
    const PickleValue* members = dictionary_of(opened_.pickle.at(opened_.pickle.root));
    if (!members) refuse(opened_.where, "a dictionary of tensors", "something else");
    std::vector<NamedTensor> tensors = tensors_of(*members);
    if (!tensors.empty()) return tensors;
    // Training programs put the dictionary beside other things.
    for (std::size_t i = first_pair(*members); i + 1 < members->items.size(); i += 2) {
      if (opened_.pickle.at(members->items[i]).text != "state_dict") continue;
      if (const PickleValue* inner = dictionary_of(opened_.pickle.at(members->items[i + 1]))) return tensors_of(*inner);
    }
    refuse(opened_.where, "a dictionary with tensors, or one below \"state_dict\"", "none");
  }

 private:
  const std::string& function_of(const PickleValue& call) const { return opened_.pickle.at(call.items[0]).text; }

  const PickleValue* dictionary_of(const PickleValue& value) const {
    const bool ordered = value.kind == Kind::call && function_of(value) == dictionary;
    return value.kind == Kind::dict || ordered ? &value : nullptr;
  }
  static std::size_t first_pair(const PickleValue& members) { return members.kind == Kind::call ? 2 : 0; }

  std::vector<NamedTensor> tensors_of(const PickleValue& members) {
    std::vector<NamedTensor> tensors;
    for (std::size_t i = first_pair(members); i + 1 < members.items.size(); i += 2) {
      const PickleValue* call = tensor_call(opened_.pickle.at(members.items[i + 1]));
      if (!call) continue;
      Placed tensor = placed(item(opened_, members, i, Kind::text).text, *call);
      if (tensor.count > 0) tensors.push_back(named(tensor));  // nothing can be read from one without elements
    }
    return tensors;
  }

  /// The call that makes a tensor, also one inside a parameter; null for other values.
  const PickleValue* tensor_call(const PickleValue& value) const {
    if (value.kind != Kind::call) return nullptr;
    const std::string& function = function_of(value);
    if (function == parameter) {
      const PickleValue& inner = item(opened_, opened_.pickle.at(value.items[1]), 0, Kind::call);
      return function_of(inner) == parameter ? nullptr : tensor_call(inner);
    }
    if (function != tensor_v1 && function != tensor_v2) return nullptr;
    if (value.integer != 0 || value.items.size() != 2) refuse(opened_.where, "plain tensors", "one with attributes");
    return &value;
  }

  std::vector<std::uint64_t> sizes(const PickleValue& value) const {
    // torch.Size((2, 3)) is a call with the tuple as its argument.
    const PickleValue& tuple = value.kind == Kind::call ? item(opened_, opened_.pickle.at(value.items[1]), 0, Kind::tuple) : value;
    if (tuple.kind != Kind::tuple || tuple.items.size() > 8) refuse(opened_.where, "at most 8 axes", "something else");
    std::vector<std::uint64_t> numbers;
    for (std::size_t i = 0; i < tuple.items.size(); ++i) numbers.push_back(natural(opened_, tuple, i));
    return numbers;
  }

  /// (storage, offset, shape, strides, ...), checked: the last number lies in the storage.
  Placed placed(const std::string& name, const PickleValue& call) const {
    const std::string where = opened_.where + ": tensor " + quoted(name);
    const PickleValue& arguments = opened_.pickle.at(call.items[1]);
    if (arguments.items.size() < 4) refuse(where, "storage, offset, shape and strides", "fewer");
    const PickleValue& id = item(opened_, item(opened_, arguments, 0, Kind::persistent), 0, Kind::tuple);
    Placed tensor{name, opened_.storages.at(item(opened_, id, 2, Kind::text).text), natural(opened_, arguments, 1),
                  sizes(opened_.pickle.at(arguments.items[2])), sizes(opened_.pickle.at(arguments.items[3]))};
    if (tensor.shape.size() != tensor.strides.size()) refuse(where, "a stride for every axis", "another number");
    std::uint64_t last = tensor.offset, span = 0;
    bool impossible = false;
    for (std::size_t axis = 0; axis < tensor.shape.size(); ++axis) impossible |= __builtin_mul_overflow(tensor.count, tensor.shape[axis], &tensor.count);
    for (std::size_t axis = 0; axis < tensor.shape.size() && tensor.count > 0; ++axis) {
      impossible |= __builtin_mul_overflow(tensor.shape[axis] - 1, tensor.strides[axis], &span) || __builtin_add_overflow(last, span, &last);
    }
    if (impossible || (tensor.count > 0 && last >= tensor.storage.count)) {
      refuse(where, "numbers of its storage, which has " + std::to_string(tensor.storage.count), "a shape that leaves it");
    }
    return tensor;
  }

  NamedTensor named(const Placed& tensor) {
    const std::size_t size = dtype_info(tensor.storage.type).block_bytes, cols = tensor.shape.empty() ? 1 : tensor.shape.back();
    NamedTensor result{.name = current_name(tensor.name), .shape = {tensor.shape.begin(), tensor.shape.end()}, .weight = {}};
    Weight& weight = result.weight;
    weight = {tensor.storage.type, tensor.count / cols, cols, opened_.file->bytes().data() + tensor.storage.begin + tensor.offset * size, opened_.file};
    weight = is_dense(tensor) ? aligned(weight, tensor.count * size) : gathered(tensor, weight);
    return result;
  }

  /// TensorFlow's names of a layer norm's weights stand in files of the first BERT models; transformers renames them so.
  static std::string current_name(const std::string& name) {
    if (name.ends_with("LayerNorm.gamma")) return name.substr(0, name.size() - 5) + "weight";
    if (name.ends_with("LayerNorm.beta")) return name.substr(0, name.size() - 4) + "bias";
    return name;
  }

  /// A copy in order of a tensor that lies in its storage with other strides (transposed, cut out).
  Weight gathered(const Placed& tensor, Weight weight) {
    const std::size_t size = dtype_info(weight.type).block_bytes;
    // A stride of 0 makes large tensors of small files.
    if (tensor.count > copies_left_ / size) refuse(opened_.where + ": tensor " + quoted(tensor.name), "strides that repeat no more than the file holds", "others");
    copies_left_ -= tensor.count * size;
    const auto copy = std::make_shared<Tensor>(DType::i8, std::vector<std::size_t>{tensor.count * size});
    std::byte* target = copy->bytes().data();
    std::vector<std::uint64_t> index(tensor.shape.size(), 0);
    for (std::uint64_t i = 0, at = 0; i < tensor.count; ++i, target += size) {
      std::memcpy(target, weight.data + at * size, size);
      for (std::size_t axis = index.size(); axis-- > 0;) {  // the next element, last axis fastest
        at += tensor.strides[axis];
        if (++index[axis] < tensor.shape[axis]) break;
        at -= tensor.strides[axis] * tensor.shape[axis];
        index[axis] = 0;
      }
    }
    weight.data = copy->bytes().data();
    weight.owner = copy;
    return weight;
  }

  const Opened& opened_;
  std::uint64_t copies_left_;  // bytes
};

enum class Layout { none, zip, old };

Layout layout_of(const fs::path& path) {
  std::error_code ignored;
  if (!fs::is_regular_file(path, ignored)) return Layout::none;
  std::array<char, 15> front{};
  std::ifstream(path, std::ios::binary).read(front.data(), front.size());
  const std::string_view bytes(front.data(), front.size());
  return bytes.starts_with("PK\x03\x04") ? Layout::zip : bytes == old_magic ? Layout::old : Layout::none;
}

std::vector<NamedTensor> read_file(const fs::path& path) {
  const Layout layout = layout_of(path);
  if (layout == Layout::none) {
    refuse(path.string(), "a zip file or the older layout that torch.save writes", "something else", "load it with PyTorch and save its state dictionary again");
  }
  const Opened opened = layout == Layout::zip ? open_zip(path) : open_old(path);
  return Reader(opened).read();
}

constexpr WeightFiles files{"pytorch", "pytorch_model.bin", read_file};

/// A folder with safetensors beside is read from those: they are the same weights and need no pickle.
bool recognises(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return !has_weight_files(path, "model.safetensors") && has_weight_files(path, files.file);
  return layout_of(path) != Layout::none || path.filename() == files.file;
}

Checkpoint open(const fs::path& path) { return open_weight_files(files, path); }

}  // namespace

const CheckpointFormat& checkpoint_format_pytorch() {
  static const CheckpointFormat format{"pytorch", "pytorch_model.bin: one file, a folder, or shards; tensors only, nothing is executed", recognises, open};
  return format;
}

}  // namespace vitrine
