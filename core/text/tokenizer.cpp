#include "core/text/tokenizer.h"

#include "core/base/error.h"
#include "core/text/pipeline.h"

namespace vitrine {

std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerSource& source) {
  Vocabulary vocabulary = source.gguf ? read_gguf_vocabulary(*source.gguf, source.where) : read_folder_vocabulary(source.folder);
  if (vocabulary.model.empty()) return nullptr;
  return std::make_unique<Pipeline>(std::move(vocabulary));
}

namespace {

/// The system message that a ChatML template puts before a conversation without one: the literal text between
/// "<|im_start|>system" and "<|im_end|>". Empty where there is none, or where it is computed.
std::string default_system_message(std::string_view chat) {
  constexpr std::string_view opening = "<|im_start|>system";
  const std::size_t begin = chat.find(opening);
  if (begin == std::string_view::npos) return {};
  const std::size_t end = chat.find("<|im_end|>", begin);
  if (end == std::string_view::npos) return {};
  std::string text(chat.substr(begin + opening.size(), end - begin - opening.size()));
  // A template in a string literal writes a line break as backslash and n.
  for (std::size_t at; (at = text.find("\\n")) != std::string::npos;) text.replace(at, 2, "\n");
  if (!text.starts_with("\n") || text.find_first_of("{}'\"") != std::string::npos) return {};
  return text.substr(1);
}

}  // namespace

std::string chat_prompt(const Tokenizer& tokenizer, std::span<const ChatMessage> messages) {
  const std::string_view chat = tokenizer.chat_template();
  if (chat.find("<|im_start|>") == std::string_view::npos || chat.find("<|im_end|>") == std::string_view::npos) {
    throw Error({"--chat", "a model whose chat template is ChatML", chat.empty() ? "no chat template" : "another template", ""});
  }
  std::string prompt;
  const std::string system = default_system_message(chat);
  if (!system.empty() && (messages.empty() || messages.front().role != "system")) prompt = "<|im_start|>system\n" + system + "<|im_end|>\n";
  for (const ChatMessage& message : messages) {
    prompt += "<|im_start|>" + message.role + "\n" + message.content + "<|im_end|>\n";
  }
  return prompt + "<|im_start|>assistant\n";
}

}  // namespace vitrine
