#include "core/config/toml_guard.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>

namespace postern {
namespace {

// Follows quotes and comments just far enough to know what stands outside of them. Where a quote is left open at the
// end of its line the library stops too, so what follows does not matter.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : text_(text) {}

  enum class Problem { kForeign, kQuote };
  struct Finding {
    Problem problem;
    std::size_t at;
  };

  /// The first octet outside of quotes and comments that is not ASCII, or a quote that opens right after another token:
  /// there the library reads on into the quote as if it belonged to a number.
  std::optional<Finding> first_problem() {
    char last = '\n';  // before this place, blanks aside
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (static_cast<unsigned char>(c) >= 0x80) return Finding{Problem::kForeign, at_};
      if (c == '#') {
        at_ = std::min(text_.find('\n', at_), text_.size());
      } else if (c == '"' || c == '\'') {
        if (std::string_view("\n=[{,.").find(last) == std::string_view::npos) return Finding{Problem::kQuote, at_};
        skip_quoted(c);
        last = text_[at_ - 1] == '\n' ? '\n' : c;
      } else {
        if (c != ' ' && c != '\t' && c != '\r') last = c;
        ++at_;
      }
    }
    return {};
  }

 private:
  void skip_quoted(char quote) {
    std::string_view three = quote == '"' ? "\"\"\"" : "'''";
    bool long_form = text_.substr(at_).starts_with(three);
    at_ += long_form ? 3 : 1;  // both are there
    while (at_ < text_.size()) {
      char c = text_[at_];
      if (c == '\\' && quote == '"') {
        at_ = std::min(at_ + 2, text_.size());
      } else if (long_form && text_.substr(at_).starts_with(three)) {
        at_ += 3;
        while (at_ < text_.size() && text_[at_] == quote) ++at_;  // up to two quotes may stand before the last three
        return;
      } else if (!long_form && (c == quote || c == '\n')) {
        ++at_;
        return;
      } else {
        ++at_;
      }
    }
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

Origin origin_at(const std::shared_ptr<const SourceText>& source, std::size_t at) {
  std::string_view before = std::string_view(source->text()).substr(0, at);
  auto line = static_cast<std::uint32_t>(std::ranges::count(before, '\n') + 1);
  std::size_t start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
  return {source, line, static_cast<std::uint32_t>(at - start + 1)};
}

bool check_lines(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics) {
  std::size_t start = 0;
  for (std::uint32_t line = 1; start <= source->text().size(); ++line) {
    std::size_t end = std::min(source->text().find('\n', start), source->text().size());
    if (end - start > kMaxConfigLine) {
      diagnostics.error({source, line, 1}, fmt::format("this line is longer than {} octets", kMaxConfigLine));
      return false;
    }
    start = end + 1;
  }
  return true;
}

}  // namespace

bool guard_toml(const std::shared_ptr<const SourceText>& source, Diagnostics& diagnostics) {
  if (!check_lines(source, diagnostics)) return false;
  std::string_view text = source->text();
  std::size_t mark = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;  // some editors begin a file with this
  auto found = Scanner(text.substr(mark)).first_problem();
  if (!found) return true;
  if (found->problem == Scanner::Problem::kForeign)
    diagnostics.error(origin_at(source, found->at + mark), "this character may stand in quotes and comments only",
                      "keys of other characters than a-z, 0-9, _ and - stand in quotes");
  else
    diagnostics.error(origin_at(source, found->at + mark), "something before this quote does not belong there");
  return false;
}

}  // namespace postern
