// Finding one person's address in text that was written about others, too: for erasure, and for looking things up.
//
// An address is found whole and in any case ("ann@example.org", not the end of "joann@example.org"), also in the forms
// in which forwarding and mailing lists carry it in a local part: "ann=example.org" (VERP, BATV) and
// "=example.org=ann" (SRS). Encoded words, quoted-printable and base64 are not looked into.
//
// Thread: any; const.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace postern {

class Person {
 public:
  /// What stands where an address was: the same for everybody, so that it tells nothing.
  static constexpr std::string_view kPlaceholder = "erased@erased.invalid";

  explicit Person(std::string_view address);
  const std::string& address() const { return address_; }  ///< in lower case
  bool is(std::string_view other) const;                   ///< the same address, case ignored
  bool in(std::string_view text) const;
  /// Whether the octets are anywhere in these, whatever stands around: for what is not one text but texts with their
  /// lengths between them, which look like letters of a name. True whenever in() is of any part.
  bool touches(std::string_view octets) const;
  /// Replaces each occurrence. Returns how many there were.
  std::size_t redact(std::string& text) const;

 private:
  struct Match {
    std::size_t at = std::string_view::npos;
    std::size_t size = 0;
    std::string_view placeholder;
  };
  Match find(std::string_view text, std::size_t from) const;
  std::string address_;
  struct Form {
    std::string text;  ///< in lower case
    std::string_view placeholder;
    bool address;  ///< stands by itself; else within a local part
  };
  std::vector<Form> forms_;
};

}  // namespace postern
