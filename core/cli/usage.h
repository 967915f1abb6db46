// How a call that was wrong is explained: by the word that is wrong and the one that was probably meant.
//
// The parser's own words for `postern foo` are that a command is missing; here they name "foo".
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace postern {

struct UsageFault {
  std::string message;  ///< `unknown command "qeue"`
  std::string word;     ///< "qeue"; empty when no single word is to blame
  std::string hint;     ///< `did you mean "queue"?`; or what could stand there, or where to read on
};

/// What was wrong with the call that made `app` throw `error`.
UsageFault explain_usage(const CLI::App& app, const CLI::ParseError& error);

}  // namespace postern
