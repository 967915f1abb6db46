// Matchers about the parts of a message. They read the body back (parts.h), so put them behind cheaper ones.
//
// Attachment matchers guard: a message that the MIME limits keep from being seen whole counts as having what they look
// for. No honest mail has a thousand parts.
#include <algorithm>

#include "file_masks.h"
#include "parts.h"
#include "postern/text.h"
#include "rules.h"
#include "zip_names.h"

namespace postern::mailets {
namespace {

/// All, if the seeker that `make` makes finds something.
template <class Make>
class ByParts final : public Matcher {
 public:
  ByParts(std::string name, bool guards, Make make) : name_(std::move(name)), guards_(guards), make_(std::move(make)) {}
  std::string name() const override { return name_; }
  Selected match(RuleCall call) override {
    auto seeker = make_();
    auto whole = co_await look_through(call.transaction.draft, seeker);
    if (!whole) co_return std::unexpected(std::move(whole).error());
    co_return seeker.found() || (guards_ && !*whole) ? call.recipients : RecipientSet::none(call.recipients.size());
  }

 private:
  std::string name_;
  bool guards_;
  Make make_;
};
template <class Make>
std::shared_ptr<Matcher> by_parts(std::string name, bool guards, Make make) {
  return std::make_shared<ByParts<Make>>(std::move(name), guards, std::move(make));
}

class AttachmentSeeker final : public PartSeeker {
 public:
  void on_part(const MimePart& part) override { found_ = found_ || part.is_attachment(); }
  std::unique_ptr<PartSeeker> another() const override { return std::make_unique<AttachmentSeeker>(); }
};

class TypeSeeker final : public PartSeeker {
 public:
  explicit TypeSeeker(const std::vector<std::string>& types) : types_(types) {}
  void on_part(const MimePart& part) override {
    const std::string type = part.type + "/" + part.subtype;
    found_ = found_ || std::ranges::any_of(types_, [&](const std::string& one) {
               return one == type || (one.ends_with("/*") && one.substr(0, one.size() - 2) == part.type);
             });
  }
  std::unique_ptr<PartSeeker> another() const override { return std::make_unique<TypeSeeker>(types_); }

 private:
  const std::vector<std::string>& types_;
};

/// Names of parts, in whichever field they stand, and of what lies in their zip archives.
class NameSeeker final : public PartSeeker {
 public:
  /// `archives`: the names of parts that are looked into, if any are.
  NameSeeker(const FileMasks& masks, const FileMasks& archives) : masks_(masks), archives_(archives) {}

  void on_part(const MimePart& part) override {
    const std::vector<std::string> names = part.file_names();  // programs differ in which of several they believe
    const auto any = [&names](const FileMasks& masks) {
      return std::ranges::any_of(names, [&masks](const std::string& one) { return masks.fit(one); });
    };
    found_ = found_ || any(masks_);
    if (!found_ && (any(archives_) || is_zip(part))) open_.emplace(part.encoding);
  }
  std::unique_ptr<PartSeeker> another() const override { return std::make_unique<NameSeeker>(masks_, archives_); }
  void on_body(const MimePart&, std::string_view piece) override {
    if (!open_ || found_) return;
    octets_.clear();
    open_->decoder.feed(piece, octets_);
    look();
  }
  void on_part_end(const MimePart&) override {
    if (open_ && !found_) {
      octets_.clear();
      open_->decoder.finish(octets_);
      look();
    }
    open_.reset();
  }

 private:
  struct Archive {
    explicit Archive(TransferEncoding encoding) : decoder(encoding) {}
    BodyDecoder decoder;
    ZipNames names;
  };

  bool is_zip(const MimePart& part) const {
    return !archives_.empty() && part.type == "application" &&
           (part.subtype == "zip" || part.subtype == "x-zip" || part.subtype == "x-zip-compressed");
  }
  void look() {
    open_->names.feed(octets_, [this](std::string_view name) { found_ = found_ || masks_.fit(name); });
    found_ = found_ || open_->names.too_many();
  }

  const FileMasks& masks_;
  const FileMasks& archives_;
  std::optional<Archive> open_;
  std::string octets_;
};

std::shared_ptr<Matcher> has_mime_type_any_part(Arguments& arguments) {
  std::vector<std::string> types = arguments.texts("types");
  for (std::string& type : types) {
    lower_in_place(type);
    const std::size_t star = type.find('*');
    const bool family = type.ends_with("/*") && star + 1 == type.size();
    if (std::ranges::count(type, '/') != 1 || type.front() == '/' || type.back() == '/' ||
        (star != std::string::npos && !family))
      arguments.complain("\"" + type + "\" is not a media type such as \"application/pdf\" or \"image/*\"");
  }
  return by_parts("has_mime_type_any_part", false, [types] { return TypeSeeker(types); });
}

std::shared_ptr<Matcher> attachment_name_is(Arguments& arguments) {
  std::vector<std::string> masks = arguments.texts("masks");
  for (const std::string& mask : masks)
    if (mask.empty() || mask.size() > FileMasks::kMaxMask || mask.find_first_of("/\\") != std::string::npos)
      arguments.complain("\"" + mask + "\" is not a mask for names of files");
  const bool inside_zip = arguments.named("inside_zip") && arguments.flag("inside_zip", false);
  FileMasks archives(inside_zip ? std::vector<std::string>{"*.zip"} : std::vector<std::string>());
  return by_parts("attachment_name_is", true, [masks = FileMasks(std::move(masks)), archives = std::move(archives)] {
    return NameSeeker(masks, archives);
  });
}

}  // namespace

void declare_part_matchers(RuleRegistry& rules) {
  static constexpr std::string_view kErrors = "spool.*: the body cannot be read back";
  declare_matcher(
      rules, "has_mime_type_any_part", "All, if the message or a part in it, at any depth, is of one of these types.",
      "match.has_mime_type_any_part { \"application/pdf\", \"image/*\" }", kErrors,
      {{"types", "list of strings", "the types; \"image/*\" takes a family", true, 0}}, has_mime_type_any_part);
  declare_matcher(
      rules, "has_attachment",
      "All, if a part, at any depth, is an attachment: by its disposition, or by a name on what is no text.",
      "match.has_attachment", kErrors, {},
      [](Arguments&) { return by_parts("has_attachment", true, [] { return AttachmentSeeker(); }); });
  declare_matcher(
      rules, "attachment_name_is",
      "All, if the file name of a part, attached or shown inline, fits one of these masks; case does not count.",
      "match.attachment_name_is { \"*.exe\", \"*.js\", inside_zip = true }", kErrors,
      {{"masks", "list of strings", "the names; * is any run of characters, ? is one", true, 0},
       {"inside_zip", "boolean", "whether the names in a zip archive count too; false unless given"}},
      attachment_name_is);
}

}  // namespace postern::mailets
