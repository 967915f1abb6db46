#include "lexer.h"

#include <cstddef>

#include "postern/text.h"

namespace postern::lua {
namespace {

bool is_word(char c) {
  return is_ascii_alnum(c) || c == '_';
}

class Scanner {
 public:
  explicit Scanner(std::string_view source) : source_(source) {
    if (source_.starts_with('#')) skip_line();  // "#!/usr/bin/lua", as Lua does
  }

  std::vector<Token> run() {
    std::vector<Token> tokens;
    while (skip_blanks(), at_ < source_.size()) {
      const std::size_t begin = at_;
      Token token{take(), {}, line_, static_cast<std::uint32_t>(begin - line_start_ + 1)};
      token.text = source_.substr(begin, at_ - begin);
      count_lines(begin);
      tokens.push_back(token);
    }
    return tokens;
  }

 private:
  char peek(std::size_t ahead = 0) const { return at_ + ahead < source_.size() ? source_[at_ + ahead] : '\0'; }

  void skip_line() {
    while (at_ < source_.size() && source_[at_] != '\n') ++at_;
  }

  void count_lines(std::size_t from) {
    for (; from < at_; ++from)
      if (source_[from] == '\n') {
        ++line_;
        line_start_ = from + 1;
      }
  }

  void skip_blanks() {
    while (at_ < source_.size()) {
      const std::size_t begin = at_;
      if (is_ascii_space(peek()) || peek() == '\f' || peek() == '\v') {
        ++at_;
      } else if (peek() == '-' && peek(1) == '-') {
        at_ += 2;
        if (!long_bracket()) skip_line();
      } else {
        return;
      }
      count_lines(begin);
    }
  }

  /// Takes "[==[ ... ]==]" if one begins here.
  bool long_bracket() {
    std::size_t level = 0;
    if (peek() != '[') return false;
    while (peek(1 + level) == '=') ++level;
    if (peek(1 + level) != '[') return false;
    const std::size_t begin = at_ + level + 2;
    for (std::size_t end = begin; end < source_.size(); ++end) {
      if (source_[end] != ']') continue;
      std::size_t equals = 0;
      while (end + 1 + equals < source_.size() && source_[end + 1 + equals] == '=') ++equals;
      if (equals != level || end + 1 + equals >= source_.size() || source_[end + 1 + equals] != ']') continue;
      at_ = end + level + 2;
      return true;
    }
    at_ = source_.size();
    return true;
  }

  Token::Kind take() {
    const char first = peek();
    if (is_ascii_digit(first)) {
      while (is_word(peek()) || peek() == '.') ++at_;
      return Token::Kind::kNumber;
    }
    if (is_word(first)) {
      while (is_word(peek())) ++at_;
      return Token::Kind::kName;
    }
    if (first == '"' || first == '\'') {
      ++at_;
      while (at_ < source_.size() && peek() != first && peek() != '\n') at_ += peek() == '\\' ? 2 : 1;
      at_ = std::min(at_ + (peek() == first ? 1 : 0), source_.size());
      return Token::Kind::kString;
    }
    if (long_bracket()) return Token::Kind::kString;
    ++at_;
    return Token::Kind::kSymbol;
  }

  std::string_view source_;
  std::size_t at_ = 0;
  std::size_t line_start_ = 0;
  std::uint32_t line_ = 1;
};

/// How a token changes the depth of what it stands in: brackets and blocks.
int depth_change(const Token& token) {
  if (token.kind == Token::Kind::kSymbol) {
    if (token.text == "{" || token.text == "(" || token.text == "[") return 1;
    if (token.text == "}" || token.text == ")" || token.text == "]") return -1;
  } else if (token.kind == Token::Kind::kName) {
    // Each loop has one `do`, so that counting it counts the loop.
    if (token.text == "function" || token.text == "if" || token.text == "do" || token.text == "repeat") return 1;
    if (token.text == "end" || token.text == "until") return -1;
  }
  return 0;
}

}  // namespace

std::vector<Token> scan(std::string_view source) {
  return Scanner(source).run();
}

std::uint32_t column_of(const std::vector<Token>& tokens, std::uint32_t line, std::string_view word) {
  std::uint32_t first = 0, inside = 0;
  for (const Token& token : tokens) {
    if (token.line != line) continue;
    if (token.text == word) return token.column;
    if (!first) first = token.column;
    if (!inside && token.kind == Token::Kind::kString && !word.empty() && token.text.find(word) != token.text.npos)
      inside = token.column;
  }
  return inside ? inside : first ? first : 1;
}

std::vector<Place> elements_of_pipeline(const std::vector<Token>& tokens, std::uint32_t line) {
  std::size_t at = tokens.size();
  for (std::size_t i = 0; i < tokens.size() && tokens[i].line <= line; ++i)
    if (tokens[i].kind == Token::Kind::kName && tokens[i].text == "pipeline") at = i;
  while (at < tokens.size() && tokens[at].text != "{") ++at;
  std::vector<Place> places;
  int depth = 1;
  bool begins = true;
  for (++at; at < tokens.size(); ++at) {
    const Token& token = tokens[at];
    depth += depth_change(token);
    if (depth <= 0) return places;
    if (begins) places.push_back({token.line, token.column});
    begins = depth == 1 && (token.text == "," || token.text == ";");
  }
  return {};
}

}  // namespace postern::lua
