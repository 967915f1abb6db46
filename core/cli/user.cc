// `postern user`: accounts of the users file.
#include <fmt/format.h>
#include <termios.h>
#include <unistd.h>

#include <iostream>

#include "core/cli/command.h"
#include "core/control/json_text.h"
#include "core/loader/assembly.h"
#include "postern/users_file.h"

namespace postern {

namespace {

struct UserOptions {
  std::string file;
  std::string name;
  bool from_stdin = false;
};

/// Reads a password: a line of standard input, or twice from the terminal without showing it.
Result<std::string> read_password(bool from_stdin) {
  std::string first, again;
  if (from_stdin || !::isatty(STDIN_FILENO)) {
    std::getline(std::cin, first);
  } else {
    termios shown{};
    ::tcgetattr(STDIN_FILENO, &shown);
    termios hidden = shown;
    hidden.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    fmt::print(stderr, "Password: ");
    std::getline(std::cin, first);
    fmt::print(stderr, "\nAgain: ");
    std::getline(std::cin, again);
    fmt::print(stderr, "\n");
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    if (first != again) return fault("users.password", "the two passwords differ");
  }
  if (first.empty()) return fault("users.password", "the password is empty");
  return first;
}

/// The file that was named, or [auth] users_file of the configuration.
std::string users_file(CommandContext& context, const UserOptions& options) {
  if (!options.file.empty()) return options.file;
  auto assembly = context.assemble_and_read();
  if (!assembly) return {};
  const std::string setting = assembly->config->text("auth.users_file");
  if (setting.size() > 2) return setting.substr(1, setting.size() - 2);  // a TOML string
  context.fail({"users.none", "no users file: name one with --file, or set [auth] users_file"});
  return {};
}

/// Only `add` makes a users file; for all else one that is not there is a mistake in its name.
bool is_there(CommandContext& context, const std::string& path) {
  std::error_code error;
  std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status)) return true;
  if (!error) error = std::make_error_code(std::errc::no_such_file_or_directory);
  context.fail({"users.io", fmt::format("{}: {}", path, error.message())});
  return false;
}

using Edit = std::function<Result<void>(UsersFile&)>;

void edit(CommandContext& context, const UserOptions& options, const Edit& change, std::string_view done,
          bool may_make_file = false) {
  const std::string path = users_file(context, options);
  if (path.empty() || (!may_make_file && !is_there(context, path))) return;
  auto file = UsersFile::open(path);
  if (!file) return context.fail(file.error());
  if (auto changed = change(*file); !changed) return context.fail(changed.error());
  if (auto saved = file->save(); !saved) return context.fail(saved.error());
  if (context.json)
    fmt::print("{}\n", json_text(nlohmann::json{{"ok", true}, {"name", options.name}, {"file", path}}));
  else
    fmt::print("{} {} in {}. A running server sees it after `postern reload`.\n", options.name, done, path);
}

/// Asks for the password only once it is clear that the change can be made.
Edit with_password(const UserOptions& options, Result<void> (UsersFile::*change)(std::string_view, std::string_view),
                   bool is_new) {
  return [&options, change, is_new](UsersFile& file) -> Result<void> {
    if (file.contains(options.name) == is_new)
      return fault(is_new ? "users.exists" : "users.unknown",
                   fmt::format("{} {}", options.name, is_new ? "is there already" : "is not there"));
    auto password = read_password(options.from_stdin);
    if (!password) return std::unexpected(password.error());
    auto hash = hash_password(*password);
    if (!hash) return std::unexpected(hash.error());
    return (file.*change)(options.name, *hash);
  };
}

void list(CommandContext& context, const UserOptions& options) {
  const std::string path = users_file(context, options);
  if (path.empty() || !is_there(context, path)) return;
  auto file = UsersFile::open(path);
  if (!file) return context.fail(file.error());
  std::vector<std::vector<std::string>> rows;
  for (const UsersFile::User& user : file->list()) {
    if (context.json)
      fmt::print("{}\n",
                 json_text(nlohmann::json{
                     {"name", user.name}, {"scheme", user.scheme}, {"locked", user.locked}, {"apop", user.apop}}));
    rows.push_back({user.name, user.locked ? "locked" : user.scheme, user.apop ? "APOP" : ""});
  }
  if (!context.json) fmt::print("{}", rows.empty() ? "No users.\n" : format_table({"user", "password", ""}, rows));
}

}  // namespace

void add_user(CLI::App& app, CommandContext& context) {
  auto* user = add_command(app, "user", "Add, list, change or remove accounts of the users file",
                           "postern user add alice@example.org");
  user->require_subcommand(1);
  auto options = std::make_shared<UserOptions>();
  user->add_option("--file", options->file, "The users file, instead of [auth] users_file");
  auto named = [&](const char* name, const char* purpose, bool password) {
    auto* command = add_command(*user, name, purpose, fmt::format("postern user {} alice@example.org", name));
    command->add_option("name", options->name, "The account: an address")->required();
    if (password) command->add_flag("--password-stdin", options->from_stdin, "Read the password from standard input");
    command->fallthrough();
    return command;
  };
  named("add", "Add an account; asks for its password", true)->callback([&context, options] {
    edit(context, *options, with_password(*options, &UsersFile::add, true), "is", true);
  });
  named("passwd", "Change an account's password", true)->callback([&context, options] {
    edit(context, *options, with_password(*options, &UsersFile::set_hash, false), "has a new password");
  });
  named("remove", "Remove an account; its mail stays", false)->callback([&context, options] {
    edit(context, *options, [&options](UsersFile& file) { return file.remove(options->name); }, "is no longer");
  });
  add_command(*user, "list", "List accounts", "postern user list --file /etc/postern/users")
      ->fallthrough()
      ->callback([&context, options] { list(context, *options); });
}

}  // namespace postern
