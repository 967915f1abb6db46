// Address lists of header fields (RFC 5322 §3.4, obsolete forms of §4.4), read without ever giving up.
//
// A lexer cuts words, quoted strings, literals and comments; the parser collects words until a special character says
// what they were: a display name (<), a group's name (:), a local part (@), or an item's end. Depth of comments is a
// count, not recursion.
#include <algorithm>

#include "core/mail/chars.h"
#include "postern/message.h"

namespace postern {
namespace {

struct Token {
  enum class Kind : std::uint8_t { kWord, kQuoted, kLiteral, kSpecial, kEnd };
  Kind kind = Kind::kEnd;
  char special = 0;
  bool spaced = false;  // white space or a comment stood before it
  std::string text;
};

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}
  bool broken() const { return broken_; }
  /// The last comment since the previous call.
  std::string take_comment() { return std::exchange(comment_, {}); }

  std::size_t mark() const { return at_; }
  void back_to(std::size_t mark) { at_ = mark; }

  Token next() {
    Token token;
    token.spaced = skip_cfws();
    if (at_ >= text_.size()) return token;
    const char c = text_[at_];
    if (c == '"') {
      token.kind = Token::Kind::kQuoted;
      token.text = delimited('"', false);
    } else if (c == '[') {
      token.kind = Token::Kind::kLiteral;
      token.text = "[" + delimited(']', false) + "]";
    } else if (std::string_view(",:;<>@").contains(c)) {
      token.kind = Token::Kind::kSpecial;
      token.special = c;
      ++at_;
    } else {
      token.kind = Token::Kind::kWord;
      token.text = word();
    }
    return token;
  }

 private:
  bool skip_cfws() {
    const std::size_t before = at_;
    while (at_ < text_.size()) {
      if (mail::is_space(text_[at_])) {
        ++at_;
      } else if (text_[at_] == '(') {
        comment_ = delimited(')', true);
      } else {
        break;
      }
    }
    return at_ != before;
  }
  // From an opening delimiter to its end, unescaped, folds out. What is not closed reaches to the end.
  std::string delimited(char close, bool nests) {
    const char open = text_[at_++];
    std::string out;
    int depth = 1;
    for (; at_ < text_.size(); ++at_) {
      char c = text_[at_];
      if (c == '\\' && at_ + 1 < text_.size()) {
        c = text_[++at_];
      } else if (c == close && --depth == 0) {
        ++at_;
        return out;
      } else if (nests && c == open) {
        ++depth;
      }
      if (c != '\r' && c != '\n') out += c;
    }
    broken_ = true;
    return out;
  }
  std::string word() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && !mail::is_space(text_[at_]) && !std::string_view("\"([,:;<>@").contains(text_[at_]))
      ++at_;
    const std::string_view found = text_.substr(begin, at_ - begin);
    const bool good =
        std::ranges::all_of(found, [](char c) { return mail::is_atext(c) || c == '.' || mail::is_8bit(c); });
    broken_ = broken_ || !good;
    return std::string(found);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string comment_;
  bool broken_ = false;
};

class ListParser {
 public:
  explicit ListParser(std::string_view text) : lexer_(text) {}

  AddressList run() {
    for (Token token = lexer_.next(); token.kind != Token::Kind::kEnd; token = lexer_.next()) {
      if (token.kind != Token::Kind::kSpecial) {
        add_word(std::move(token));
      } else {
        special(token.special);
      }
      if (list_.truncated) return std::move(list_);
    }
    finish_item();
    if (in_group_) {
      list_.broken = true;
      end_group();
    }
    list_.broken = list_.broken || lexer_.broken();
    return std::move(list_);
  }

 private:
  // Words of a local part hang together by dots; any other blank says that what was before is a display name.
  void add_word(Token token) {
    if (complete_) {  // words behind "<a@b>": not of the grammar, mostly a name that lost its quotes
      list_.broken = true;
      return;
    }
    const bool dotted = run_.ends_with('.') || (token.kind == Token::Kind::kWord && token.text.starts_with('.'));
    if (has_run_ && token.spaced && !dotted) shift_run();
    if (has_run_ && token.spaced) spoken_ += ' ';
    has_run_ = true;
    run_ += token.text;
    spoken_ += token.text;
  }
  void shift_run() {
    if (!head_.empty()) head_ += ' ';
    head_ += spoken_;
    run_.clear();
    spoken_.clear();
    has_head_ = true;
    has_run_ = false;
  }

  void special(char c) {
    switch (c) {
      case ',':
        finish_item();
        break;
      case ';':
        finish_item();
        if (in_group_) {
          end_group();
        } else {
          list_.broken = true;  // a semicolon as separator, as some programs write
        }
        break;
      case ':':
        begin_group();
        break;
      case '<':
        angle();
        break;
      case '@':
        at_sign();
        break;
      default:
        list_.broken = true;
    }
  }

  void begin_group() {
    if (in_group_ || complete_) {
      list_.broken = true;
      return;
    }
    if (has_run_) shift_run();
    HeaderAddress group;
    group.kind = HeaderAddress::Kind::kGroupStart;
    group.name = std::exchange(head_, {});
    push(std::move(group));
    reset();
    in_group_ = true;
  }
  void end_group() {
    HeaderAddress group;
    group.kind = HeaderAddress::Kind::kGroupEnd;
    push(std::move(group));
    in_group_ = false;
  }

  // "local@domain" without brackets: words before the local part make a name.
  void at_sign() {
    if (complete_ || !has_run_) {
      list_.broken = true;
      return;
    }
    list_.broken = list_.broken || has_head_;
    item_.name = std::exchange(head_, {});
    item_.local = std::exchange(run_, {});
    read_domain(item_.domain);
    complete_ = true;
  }

  // Takes words and literals; the special character that ends them is handled next.
  void read_domain(std::string& domain) {
    for (;;) {
      const std::size_t before = lexer_.mark();
      Token token = lexer_.next();
      const bool dotted = domain.empty() || domain.ends_with('.') || token.text.starts_with('.');
      if (token.kind == Token::Kind::kEnd || token.kind == Token::Kind::kSpecial || (token.spaced && !dotted)) {
        lexer_.back_to(before);
        return;
      }
      domain += token.text;
    }
  }

  void angle() {
    if (complete_) {
      list_.broken = true;
      finish_item();
    }
    if (has_run_) shift_run();
    item_.name = std::exchange(head_, {});
    std::string local;
    bool at_seen = false;
    for (Token token = lexer_.next();; token = lexer_.next()) {
      if (token.kind == Token::Kind::kEnd) {
        list_.broken = true;
        break;
      }
      if (token.kind != Token::Kind::kSpecial) {
        (at_seen ? item_.domain : local) += token.text;
        continue;
      }
      if (token.special == '>') break;
      if (token.special == '@' && !at_seen) {
        at_seen = true;
      } else if (token.special == ':' && at_seen && local.empty()) {  // "@a,@b:" was the route
        item_.route += "@" + std::exchange(item_.domain, {});
        at_seen = false;
      } else if (token.special == ',' && at_seen && local.empty()) {
        if (!item_.domain.empty()) item_.route += "@" + std::exchange(item_.domain, {});
        item_.route += ',';
        at_seen = false;
      } else {
        list_.broken = true;
      }
    }
    item_.local = std::move(local);
    complete_ = true;
  }

  void finish_item() {
    const std::string comment = lexer_.take_comment();
    if (!complete_ && has_run_) {  // "root": a local part alone
      list_.broken = list_.broken || has_head_;
      item_.name = std::exchange(head_, {});
      item_.local = std::exchange(run_, {});
      complete_ = true;
    }
    if (complete_) {
      if (item_.name.empty()) item_.name = std::string(mail::trim(comment));
      push(std::move(item_));
    }
    reset();
  }

  void push(HeaderAddress item) {
    if (list_.items.size() >= kMaxHeaderAddresses) {
      list_.truncated = true;
      return;
    }
    list_.items.push_back(std::move(item));
  }
  void reset() {
    item_ = {};
    head_.clear();
    run_.clear();
    spoken_.clear();
    has_head_ = has_run_ = complete_ = false;
  }

  Lexer lexer_;
  AddressList list_;
  HeaderAddress item_;
  std::string head_;    // words that cannot be part of the local part
  std::string run_;     // words that may be: "john.doe" of "john . doe"
  std::string spoken_;  // the same as a name has them: "John Q. Public"
  bool has_head_ = false;
  bool has_run_ = false;
  bool complete_ = false;
  bool in_group_ = false;
};

}  // namespace

std::optional<Address> HeaderAddress::address() const {
  if (kind != Kind::kMailbox) return std::nullopt;
  Parsed<Domain> parsed = Domain::parse(domain);
  if (!parsed) return std::nullopt;
  Parsed<Address> address = Address::make(local, std::move(*parsed));
  return address ? std::optional(std::move(*address)) : std::nullopt;
}

std::size_t AddressList::mailboxes() const {
  return static_cast<std::size_t>(std::ranges::count(items, HeaderAddress::Kind::kMailbox, &HeaderAddress::kind));
}

AddressList parse_address_list(std::string_view value) {
  return ListParser(value).run();
}

}  // namespace postern
