#include <libdeflate.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <ostream>

#include "core/base/base64.h"
#include "core/base/error.h"
#include "core/base/part_file.h"
#include "viewer/data/view_pack.h"

namespace vitrine {
namespace {

// viewer/web/page.html holds this line where a pack goes.
constexpr std::string_view pack_place = "<!-- the pack stands here -->";

/// RFC 1952: what gunzip and browsers read.
std::string gzip(const std::string& bytes) {
  const std::unique_ptr<libdeflate_compressor, decltype(&libdeflate_free_compressor)> compressor(libdeflate_alloc_compressor(9), &libdeflate_free_compressor);
  VITRINE_CHECK(compressor != nullptr);
  std::string smaller(libdeflate_gzip_compress_bound(compressor.get(), bytes.size()), '\0');
  smaller.resize(libdeflate_gzip_compress(compressor.get(), bytes.data(), bytes.size(), smaller.data(), smaller.size()));
  VITRINE_CHECK(!smaller.empty());
  return smaller;
}

/// VITRINE_WEB_PAGE, else beside the program as scripts/package and scripts/build-web put it.
std::filesystem::path built_page() {
  if (const char* named = std::getenv("VITRINE_WEB_PAGE")) return named;
  std::error_code ignored;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const char* place : {"../share/web/viewer.html", "../../web/viewer.html"}) {
    const std::filesystem::path page = (program / place).lexically_normal();
    if (std::filesystem::exists(page, ignored)) return page;
  }
  return "viewer.html";
}

/// The page with a pack inside.
std::string page_with(const std::string& packed) {
  const std::filesystem::path file = built_page();
  std::ifstream stream(file, std::ios::binary);
  std::string page((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
  const std::size_t place = page.find(pack_place);
  if (place == std::string::npos) {
    throw Error({file.string(), "the browser's page of the viewer", page.empty() ? "none" : "another file", "build it with scripts/build-web, or name it in VITRINE_WEB_PAGE"});
  }
  return page.replace(place, pack_place.size(), "<script id=\"pack\" type=\"text/plain\">" + base64_of(packed) + "</script>");
}

}  // namespace

void write_view_pack(const std::shared_ptr<const Document>& document, const PackOrder& order, const std::filesystem::path& file, Run& run) {
  const bool page = file.extension() == ".html";
  if (!page && file.extension() != ".vpack") throw Error({"--pack", "a file that ends in .vpack or .html", quoted(file.string()), ""}, Fault::usage);
  if (page) page_with({});  // before the work: whether there is one
  document->recording->note({.action = "export", .detail = std::filesystem::absolute(file).string(), .datasets = {"/attention"}});
  const std::string packed = gzip(view_pack(document, order, run));
  const std::string bytes = page ? page_with(packed) : packed;
  write_in_one_step(file, [&](std::ostream& stream) { stream << bytes; });
}

}  // namespace vitrine
