// Messages to an administrator about what they wrote: configuration, scripts, pipelines (style.md 15).
//
// Each names file, line and column, shows the line with a caret, and the nearest right word where there is one. They
// are collected, so that one run reports everything. Warnings carry a code, by which the administrator can waive them.
//
//   postern.toml:12:1: error: unknown key "idle_timout" in [pop3]
//     12 | idle_timout = "10m"
//        | ^
//     did you mean "idle_timeout"?
//
// Owner:  whoever starts a load; passed down by reference.
// Thread: one at a time. Sources are immutable and may be shared between threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace postern {

/// A text that an administrator wrote, kept so that messages can show its lines.
class SourceText {
 public:
  SourceText(std::string name, std::string text);
  const std::string& name() const { return name_; }
  const std::string& text() const { return text_; }
  /// The line without its end, counted from 1; empty beyond the end.
  std::string_view line(std::uint32_t number) const;

 private:
  std::string name_;
  std::string text_;
  std::vector<std::size_t> starts_;
};

/// Where a value was written. Without a source it is a default of the program.
struct Origin {
  std::shared_ptr<const SourceText> source;
  std::uint32_t line = 0;    ///< from 1; 0: the file as a whole
  std::uint32_t column = 0;  ///< from 1, in octets

  bool is_default() const { return !source; }
  /// "postern.toml:12:3", "postern.toml", or "default".
  std::string to_string() const;
};

struct Diagnostic {
  enum class Severity : std::uint8_t { kError, kWarning };
  Severity severity = Severity::kError;
  std::string code;  ///< of a warning: "relay.network-too-wide"; empty for an error
  Origin origin;
  std::string text;
  std::string hint;  ///< empty, or a sentence that helps: `did you mean "x"?`
};

class Diagnostics {
 public:
  /// Errors beyond this many are counted, not kept: a hostile or broken file cannot fill memory.
  static constexpr std::size_t kMaxItems = 200;

  void error(const Origin& origin, std::string text, std::string hint = {});
  /// A warning that the administrator can waive by its code; a waived one is not kept.
  void warning(const Origin& origin, std::string code, std::string text, std::string hint = {});
  /// Silences warnings of this code, earlier ones included.
  void waive(std::string code);

  bool has_errors() const { return errors_ != 0; }
  std::size_t errors() const { return errors_; }
  std::size_t warnings() const;
  const std::vector<Diagnostic>& items() const { return items_; }
  /// Codes that were waived though no such warning came up.
  std::vector<std::string> unused_waivers() const;

  /// All messages, in the order of files and lines, ready for a terminal. Control characters are shown escaped.
  std::string render() const;

 private:
  struct Waiver {
    std::string code;
    bool used = false;
  };
  std::vector<Diagnostic> items_;
  std::vector<Waiver> waivers_;
  std::size_t errors_ = 0;
  std::size_t omitted_ = 0;
};

/// One diagnostic as Diagnostics::render() prints it, with its line and caret.
std::string render_diagnostic(const Diagnostic& diagnostic);

/// The word of `known` that `word` was probably meant to be (Damerau-Levenshtein, at most a third of it wrong).
std::optional<std::string_view> nearest_word(std::string_view word, std::span<const std::string_view> known);

/// `did you mean "x"?` or nothing.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> known);

}  // namespace postern
