#include "core/text/tokenizer.h"

#include "core/base/error.h"

namespace vitrine {

std::unique_ptr<Tokenizer> load_tokenizer(const TokenizerSource& source) {
  for (const TokenizerModel* model : all_tokenizer_models()) {
    if (model->recognises(source)) return model->load(source);
  }
  return nullptr;
}

std::string chat_prompt(const Tokenizer& tokenizer, std::span<const ChatMessage> messages) {
  const std::string_view chat = tokenizer.chat_template();
  if (chat.find("<|im_start|>") == std::string_view::npos) {
    throw Error({"--chat", "a model whose chat template is ChatML", chat.empty() ? "no chat template" : "another template", ""});
  }
  std::string prompt;
  // Templates of the SmolLM kind put a system message of their own before a conversation that has none.
  const std::size_t system = chat.find("<|im_start|>system\n"), end = chat.find("<|im_end|>", system);
  const bool first_is_system = !messages.empty() && messages.front().role == "system";
  if (!first_is_system && system != std::string_view::npos && end != std::string_view::npos) {
    prompt = std::string(chat.substr(system, end - system)) + "<|im_end|>\n";
  }
  for (const ChatMessage& message : messages) {
    prompt += "<|im_start|>" + message.role + "\n" + message.content + "<|im_end|>\n";
  }
  return prompt + "<|im_start|>assistant\n";
}

}  // namespace vitrine
