#include <archive.h>
#include <archive_entry.h>

#include <memory>

#include "core/base/error.h"
#include "probes/recording_tools/export.h"

// NumPy's archive of arrays: a zip whose members are .npy files, stored as they are (NumPy Enhancement Proposal 1).

namespace vitrine {
namespace {

/// bfloat16 is no type of numpy's: its numbers become f32.
struct NumpyType {
  std::string_view stored, descr;
  std::size_t bytes;
};
constexpr NumpyType numpy_types[] = {{"f32", "<f4", 4}, {"f16", "<f2", 2}, {"bf16", "<f4", 4}, {"i32", "<i4", 4},
                                     {"u64", "<u8", 8}, {"u8", "|u1", 1},  {"f64", "<f8", 8}};

const NumpyType& type_of(const ExportArray& array) {
  for (const NumpyType& type : numpy_types) {
    if (type.stored == array.type) return type;
  }
  throw Error({array.name, "a type that numpy has", array.type, ""});
}

/// Magic, version 1.0, length of the header, and the header as a Python literal that fills 64 bytes.
std::string header_of(const ExportArray& array) {
  std::string shape;
  for (const std::size_t extent : array.shape) shape += std::to_string(extent) + ", ";
  std::string literal = "{'descr': '" + std::string(type_of(array).descr) + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  constexpr std::size_t before = 10, aligned = 64;
  literal.append(aligned - (before + literal.size() + 1) % aligned, ' ');
  literal += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(literal.size() & 0xff);
  header += static_cast<char>(literal.size() >> 8);
  return header + literal;
}

class Zip {
 public:
  explicit Zip(const std::filesystem::path& path) : where_(path.string()), archive_(archive_write_new(), archive_write_free) {
    require(archive_write_set_format_zip(archive_.get()));
    require(archive_write_zip_set_compression_store(archive_.get()));
    require(archive_write_open_filename(archive_.get(), where_.c_str()));
  }
  void begin(const std::string& name, std::size_t bytes) {
    const std::unique_ptr<archive_entry, decltype(&archive_entry_free)> entry(archive_entry_new(), archive_entry_free);
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_size(entry.get(), static_cast<la_int64_t>(bytes));
    archive_entry_set_filetype(entry.get(), AE_IFREG);
    archive_entry_set_perm(entry.get(), 0644);
    require(archive_write_header(archive_.get(), entry.get()));
  }
  void write(const void* data, std::size_t bytes) {
    if (archive_write_data(archive_.get(), data, bytes) != static_cast<la_ssize_t>(bytes)) require(ARCHIVE_FATAL);
  }
  void close() { require(archive_write_close(archive_.get())); }

 private:
  void require(int status) const {
    if (status == ARCHIVE_OK) return;
    const char* reason = archive_error_string(archive_.get());
    throw Error({where_, "to write the archive", reason ? reason : "no reason given", ""});
  }
  std::string where_;
  std::unique_ptr<archive, decltype(&archive_write_free)> archive_;
};

void write(const ExportJob& job) {
  Zip zip(job.path);
  for (const ExportArray& array : job.arrays) {
    const std::string header = header_of(array);
    std::size_t bytes = type_of(array).bytes;
    for (const std::size_t extent : array.shape) bytes *= extent;
    zip.begin(array.name + ".npy", header.size() + bytes);
    zip.write(header.data(), header.size());
    for_pieces(array, job.progress, [&](std::size_t begin, std::size_t count) {
      if (array.type == "bf16") {
        const std::vector<float> numbers = array.numbers(begin, count);
        return zip.write(numbers.data(), numbers.size() * sizeof(float));
      }
      const std::vector<std::byte> numbers = array.stored(begin, count);
      zip.write(numbers.data(), numbers.size());
    });
  }
  zip.close();
}

}  // namespace

const ExportFormat& export_format_npz() {
  static const ExportFormat format{"npz", "arrays for numpy.load, by hook name; bfloat16 becomes float32", write};
  return format;
}

}  // namespace vitrine
