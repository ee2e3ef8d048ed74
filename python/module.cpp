#include <pybind11/pybind11.h>

#include "core/base/error.h"
#include "python/loaded_model_internal.h"
#include "python/opened_recording_internal.h"

// The native half of the package: what needs C++. python/vitrine/*.py is what people see, _core.pyi says the types.

namespace py = pybind11;

namespace vitrine {
namespace {

/// One line for people; words of the command line's flags are the keywords here.
std::string line_of(const Error& error) {
  std::string line = error.what();
  if (line.starts_with("--")) line.erase(0, 2);
  return line;
}

template <typename Enclosing>
void declare_given(Enclosing& module) {
  py::class_<GivenTexts>(module, "Texts")
      .def(py::init([](std::vector<GivenText> texts, std::vector<std::vector<TokenId>> decoder_ids, std::string bos) {
             return GivenTexts{std::move(texts), std::move(decoder_ids), std::move(bos)};
           }), py::arg("texts"), py::arg("decoder_ids"), py::arg("bos"));
  py::class_<GivenHook>(module, "Hook")
      .def(py::init([](std::vector<std::string> points, py::object call, bool writes) { return GivenHook{std::move(points), std::move(call), writes}; }),
           py::arg("points"), py::arg("call"), py::arg("writes"));
  py::class_<GivenContinuation>(module, "Continuation")
      .def(py::init<>())
      .def_readwrite("max_tokens", &GivenContinuation::max_tokens)
      .def_readwrite("seed", &GivenContinuation::seed)
      .def_readwrite("chat", &GivenContinuation::chat)
      .def_readwrite("search", &GivenContinuation::search)
      .def_readwrite("samplers", &GivenContinuation::samplers)
      .def_readwrite("defaults", &GivenContinuation::defaults)
      .def_readwrite("stop", &GivenContinuation::stops)
      .def_readwrite("options", &GivenContinuation::options)
      .def("follow", [](GivenContinuation& request, std::string grammar, std::string schema, bool json) { request.grammar = {std::move(grammar), std::move(schema), json}; },
           py::arg("grammar"), py::arg("json_schema"), py::arg("json_object"));
  py::class_<HookPlace>(module, "HookPoint", "Where a hook is called: which point, and which part of the batch its array is.")
      .def_readonly("name", &HookPlace::name, "the hook name, as \"blocks.3.attn.hook_z\"")
      .def("layer", [](const HookPlace& place) { return place.block; }, "the block, -1 outside of blocks")
      .def_property_readonly("batch", [](const HookPlace& place) { return py::slice(static_cast<py::ssize_t>(place.first_sequence), static_cast<py::ssize_t>(place.end_sequence), 1); }, "which sequences of the batch")
      .def_property_readonly("positions", [](const HookPlace& place) { return py::slice(static_cast<py::ssize_t>(place.first_position), static_cast<py::ssize_t>(place.end_position), 1); }, "which positions of their texts")
      .def("__repr__", [](const HookPlace& place) { return "<HookPoint " + place.name + ">"; });
}

void declare_model(py::module_& module) {
  py::class_<LoadedModel>(module, "Model")
      .def(py::init([](const std::string& path, const std::string& precision, const std::string& kernel, std::size_t threads, const std::string& kv, bool quiet) {
             CommonOptions options;
             options.model = path;
             options.precision = precision;
             options.kernel = kernel;
             options.threads = threads;
             options.kv = kv;
             options.quiet = quiet;
             const py::gil_scoped_release unlocked;
             return std::make_unique<LoadedModel>(options);
           }), py::arg("path"), py::arg("precision"), py::arg("kernel"), py::arg("threads"), py::arg("kv"), py::arg("quiet"))
      .def("info", &LoadedModel::info)
      .def("points", &LoadedModel::points)
      .def("select", &LoadedModel::select, py::arg("words"))
      .def("encode", &LoadedModel::encode, py::arg("text"), py::arg("bos"))
      .def("decode", &LoadedModel::decode, py::arg("ids"))
      .def("piece", &LoadedModel::piece, py::arg("id"))
      .def("run", &LoadedModel::run, py::arg("texts"), py::arg("collect"), py::arg("hooks"), py::arg("logits"))
      .def("score", &LoadedModel::score, py::arg("texts"))
      .def("generate", &LoadedModel::generate, py::arg("texts"), py::arg("request"), py::arg("hooks"))
      .def("record_to", [](LoadedModel& model, const GivenTexts& texts, const std::vector<GivenHook>& hooks, const std::string& path, const std::vector<std::string>& points, const std::vector<std::string>& store, const std::string& attention, const std::string& compress) {
             return model.record_to(texts, {path, points, store, attention, compress}, hooks);
           }, py::arg("texts"), py::arg("hooks"), py::arg("path"), py::arg("points"), py::arg("store"), py::arg("attention"), py::arg("compress"));
}

void declare_recording(py::module_& module) {
  const auto side = [](bool source) { return source ? Recording::Side::encoder : Recording::Side::text; };
  py::class_<OpenedRecording>(module, "Recording")
      .def(py::init<const std::string&>(), py::arg("path"))
      .def("info", &OpenedRecording::info)
      .def("finished", [](const OpenedRecording& opened) { return opened.recording().finished(); })
      .def("has_encoder", [](const OpenedRecording& opened) { return opened.recording().has_encoder(); })
      .def("sequences", [](const OpenedRecording& opened) { return opened.recording().sequences(); })
      .def("names", &OpenedRecording::names)
      .def("modules", &OpenedRecording::modules)
      .def("tokens", [side](const OpenedRecording& opened, std::size_t sequence, bool source) { return opened.tokens(sequence, side(source)); }, py::arg("sequence"), py::arg("source"))
      .def("log_probabilities", &OpenedRecording::log_probabilities, py::arg("sequence"))
      .def("activation", &OpenedRecording::activation, py::arg("name"), py::arg("sequence"))
      .def("factor", &OpenedRecording::factor, py::arg("module"), py::arg("name"), py::arg("sequence"))
      .def("map", [](const OpenedRecording& opened, const std::string& name, std::size_t head, std::size_t sequence, std::optional<Range> rows, std::optional<Range> keys, bool scores) {
             return opened.map(name, {head, sequence, rows, keys}, scores);
           }, py::arg("module"), py::arg("head"), py::arg("sequence"), py::arg("rows"), py::arg("keys"), py::arg("scores"))
      .def("head_rows", &OpenedRecording::head_rows, py::arg("threads"));
}

}  // namespace
}  // namespace vitrine

PYBIND11_MODULE(_core, module) {
  using vitrine::Error;
  module.doc() = "The native half of `vitrine`; see that package.";
  module.attr("version") = VITRINE_VERSION;
  static py::exception<Error> error(module, "Error", PyExc_ValueError);
  error.attr("__module__") = "vitrine";
  error.attr("__doc__") = "What a user can cause: one line, \"where: expected ..., found ...; what to do\".";
  py::register_exception_translator([](std::exception_ptr thrown) {
    try {
      if (thrown) std::rethrow_exception(thrown);
    } catch (const Error& caught) {
      PyErr_SetString(error.ptr(), vitrine::line_of(caught).c_str());
    }
  });
  vitrine::declare_given(module);
  vitrine::declare_model(module);
  vitrine::declare_recording(module);
}
