// Fuzzes all that reads a header: fields, encoded words, parameters, address lists, dates, edits.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "postern/mail_date.h"
#include "postern/message.h"

using namespace postern;

namespace {

void require(bool truth) {
  if (!truth) std::abort();
}

void values(const HeaderField& field) {
  const std::string value = field.value();
  const std::string decoded = field.decoded();
  require(is_valid_utf8(decoded));
  require(is_valid_utf8(decode_words(encode_words(decoded))));
  for (const HeaderAddress& item : parse_address_list(value).items) {
    (void)item.display_name();
    if (const auto address = item.address())
      require(Address::parse(address->to_string(), {.max_local_part = 1024}) == *address);
  }
  for (const Parameter& parameter : parse_parameters(value).parameters) require(is_valid_utf8(parameter.value));
  for (const std::string& id : parse_message_ids(value)) require(id.starts_with('<') && id.ends_with('>'));
  if (const auto date = parse_mail_date(value)) {
    const auto whole = std::chrono::floor<std::chrono::seconds>(date->utc);
    if (whole >= std::chrono::sys_days(std::chrono::year(1900) / 1 / 1) &&
        whole < std::chrono::sys_days(std::chrono::year(9999) / 12 / 31)) {
      require(parse_mail_date(format_mail_date(date->utc))->utc == whole);
    }
  }
  (void)parse_imap_date(value);
  (void)parse_rfc3339(value);
}

void edits(const HeaderBlock& block, std::string_view text) {
  HeaderEdits edits;
  std::size_t nth = 0;
  for (const HeaderField& field : block) {
    const std::string_view value = text.substr(field.raw.size() % text.size());
    if (nth % 4 == 0) edits.add_top(field.name, value);
    if (nth % 4 == 1) edits.replace(field.name, nth / 4, value);
    if (nth % 4 == 2) edits.remove(field.name, nth / 8);
    if (nth % 4 == 3) edits.append(field.name, value);
    ++nth;
  }
  std::string bytes;
  edits.encode(bytes);
  require(HeaderEdits::decode(bytes) == edits);
  const HeaderEdits::Pieces pieces = edits.apply(block);
  const std::string joined = pieces.join();
  require(joined.size() == pieces.size && pieces.consumed == block.fields_size());
  require(HeaderBlock(joined).fields_size() == joined.size());  // no edit makes an empty line
  if (const auto decoded = HeaderEdits::decode(text)) (void)decoded->apply(block);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const HeaderBlock block(text);
  std::size_t at = 0;
  for (const HeaderField& field : block) {
    require(field.offset == at && !field.raw.empty());
    at += field.raw.size();
    values(field);
  }
  require(at == block.fields_size());
  HeaderScanner scanner;
  std::size_t scanned = 0;
  for (std::size_t step = 1; scanned < size && !scanner.done(); step = step % 7 + 1)
    scanned += scanner.feed(text.substr(scanned, step));
  require(scanned == block.body_offset());
  if (!text.empty()) edits(block, text);
  return 0;
}
