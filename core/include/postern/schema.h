// How a module declares its settings: the types that settings have, and Schema<T>, which ties names to members.
//
// Included by config.h, whose head explains the whole by an example.
//
// Owner:  a Schema lives as long as the ConfigSchemas it was added to.
// Thread: filled once at start, read-only afterwards.
// Errors: a wrong declaration throws Error at start; parse_size() and parse_duration() answer nothing.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "postern/diagnostics.h"
#include "postern/endpoint.h"
#include "postern/error.h"
#include "postern/time.h"

namespace postern {

/// A number of octets, written with its unit: "25 MiB", "512 B", "1 GB".
struct Size {
  std::uint64_t bytes = 0;
  auto operator<=>(const Size&) const = default;
};
constexpr Size operator""_B(unsigned long long n) {
  return {n};
}
constexpr Size operator""_KiB(unsigned long long n) {
  return {n << 10};
}
constexpr Size operator""_MiB(unsigned long long n) {
  return {n << 20};
}
constexpr Size operator""_GiB(unsigned long long n) {
  return {n << 30};
}

/// B, KiB, MiB, GiB, TiB (powers of 1024), KB, MB, GB, TB (powers of 1000); a unit is required but for 0.
std::optional<Size> parse_size(std::string_view text);
std::string to_text(Size size);  ///< with the largest unit that divides it
/// "500ms", "30s", "5m", "2h", "1d", "1w", and sums such as "1h30m"; a unit is required but for 0.
std::optional<Duration> parse_duration(std::string_view text);
std::string to_text(Duration duration);

/// When a changed setting takes effect after a reload.
enum class Apply : std::uint8_t { kLive, kNewSessions, kRestart };

/// One value as it stands in a file, checked but not yet in its member. Enums are the index of their name.
using ConfigScalar = std::variant<bool, std::int64_t, double, std::string, Size, Duration, Endpoint, IpAddress,
                                  IpNetwork, std::filesystem::path>;

enum class ScalarKind : std::uint8_t {
  kBool,
  kInteger,
  kFloat,
  kString,
  kSize,
  kDuration,
  kEndpoint,
  kAddress,
  kNetwork,
  kPath,
  kEnum
};
enum class FieldShape : std::uint8_t { kOne, kOptional, kList, kMap, kTable, kOptionalTable, kTables, kTableMap };

class SchemaBase;

/// A base for settings structs that want to know where their values were written, to report what is wrong with them
/// later.
class Located {
 public:
  /// Of the value, or of its table when it is a default. Of list elements "hosts[0]", of a map's "limits.key".
  const Origin& origin(std::string_view key) const;
  const Origin& origin() const { return table_; }  ///< of the table
  bool is_set(std::string_view key) const { return keys_.find(key) != keys_.end(); }
  bool operator==(const Located&) const {
    return true;
  }  ///< the same settings elsewhere in a file are the same settings

 private:
  friend class ConfigReader;
  Origin table_;
  std::map<std::string, Origin, std::less<>> keys_;
};

/// What is known of one key: for the reader and for the renderers. Made by Schema<T>, never by hand.
struct FieldInfo {
  std::string name;
  std::string doc;
  std::string example;  ///< as TOML, or the bare text of a string, size or duration
  FieldShape shape = FieldShape::kOne;
  ScalarKind kind = ScalarKind::kString;
  bool required = false;
  bool secret = false;
  bool multiline = false;
  std::optional<Apply> apply;  ///< none: the schema's

  std::optional<std::int64_t> min, max;  ///< integers, octets, nanoseconds
  std::optional<double> float_min, float_max;
  std::size_t min_length = 0, max_length = 4096;  ///< of a string, in octets
  std::size_t min_items = 0, max_items = 10000;   ///< of lists and maps
  std::vector<std::string> allowed;               ///< of a string; the names of an enum
  std::function<std::optional<std::string>(const ConfigScalar&)> check;

  // Access to the member. Scalars:
  std::function<void(void* owner, const std::vector<ConfigScalar>&)> set;         // kOne, kOptional, kList
  std::function<std::vector<ConfigScalar>(const void* owner)> get;                // likewise
  std::function<void(void* owner, const std::string&, const ConfigScalar&)> put;  // kMap
  std::function<std::vector<std::pair<std::string, ConfigScalar>>(const void* owner)> entries;
  // Tables:
  std::shared_ptr<const SchemaBase> child;
  std::function<void*(void* owner, const std::string& key)>
      emplace;  // settings of a (new) child; valid until the next call
  std::function<std::vector<std::pair<std::string, const void*>>(const void* owner)> children;
};

/// A schema without its type.
class SchemaBase {
 public:
  virtual ~SchemaBase();
  virtual std::shared_ptr<void> make() const = 0;  ///< settings at their defaults
  virtual Located* located(void* settings) const = 0;
  virtual const Located* located(const void* settings) const = 0;
  virtual void run_checks(const void* settings, Diagnostics& diagnostics) const = 0;

  const std::string& path() const { return path_; }  ///< "pop3", "relay.limits"; empty: the file's top level
  const std::string& doc() const { return doc_; }
  std::optional<Apply> default_apply() const { return apply_; }  ///< none: the enclosing table's, at last kRestart
  const std::deque<FieldInfo>& fields() const { return fields_; }
  const FieldInfo* find(std::string_view name) const;

 protected:
  FieldInfo& add(std::string_view name, std::string_view doc);
  std::string path_, doc_;
  std::optional<Apply> apply_;
  std::deque<FieldInfo> fields_;
};

/// The element type of a member, and how it is wrapped.
template <class M>
struct MemberShape {
  using Element = M;
  static constexpr FieldShape kShape = FieldShape::kOne;
};
template <class E>
struct MemberShape<std::optional<E>> {
  using Element = E;
  static constexpr FieldShape kShape = FieldShape::kOptional;
};
template <class E>
struct MemberShape<std::vector<E>> {
  using Element = E;
  static constexpr FieldShape kShape = FieldShape::kList;
};
template <class E>
struct MemberShape<std::map<std::string, E>> {
  using Element = E;
  static constexpr FieldShape kShape = FieldShape::kMap;
};

/// How an element type stands in a ConfigScalar.
template <class E>
consteval ScalarKind scalar_kind() {
  if constexpr (std::same_as<E, bool>)
    return ScalarKind::kBool;
  else if constexpr (std::is_enum_v<E>)
    return ScalarKind::kEnum;
  else if constexpr (std::integral<E>)
    return ScalarKind::kInteger;
  else if constexpr (std::floating_point<E>)
    return ScalarKind::kFloat;
  else if constexpr (std::same_as<E, std::string>)
    return ScalarKind::kString;
  else if constexpr (std::same_as<E, Size>)
    return ScalarKind::kSize;
  else if constexpr (std::same_as<E, Duration>)
    return ScalarKind::kDuration;
  else if constexpr (std::same_as<E, Endpoint>)
    return ScalarKind::kEndpoint;
  else if constexpr (std::same_as<E, IpAddress>)
    return ScalarKind::kAddress;
  else if constexpr (std::same_as<E, IpNetwork>)
    return ScalarKind::kNetwork;
  else if constexpr (std::same_as<E, std::filesystem::path>)
    return ScalarKind::kPath;
  else
    static_assert(sizeof(E) == 0, "not a type of setting; a struct needs table_field()");
}

/// The rest of a field's declaration; E is the element type (of a list: what it lists).
template <class E>
class Field {
 public:
  explicit Field(FieldInfo& info) : info_(info) {}

  Field& required() {
    info_.required = true;
    return *this;
  }  ///< no default: the file must say
  Field& secret() {
    info_.secret = true;
    return *this;
  }  ///< never shown
  Field& applies(Apply when) {
    info_.apply = when;
    return *this;
  }
  Field& multiline()
    requires std::same_as<E, std::string>
  {
    info_.multiline = true;
    return *this;
  }  ///< may hold line ends and tabs
  Field& example(std::string_view text) {
    info_.example = text;
    return *this;
  }
  Field& items(std::size_t min, std::size_t max) {
    info_.min_items = min;
    info_.max_items = max;
    return *this;
  }

  /// Both ends belong to it. Units: the member's (12 for integers, 10min, 4_KiB).
  Field& range(E min, E max)
    requires(!std::same_as<E, bool> && !std::is_enum_v<E>)
  {
    if constexpr (std::floating_point<E>) {
      info_.float_min = min;
      info_.float_max = max;
    } else if constexpr (std::same_as<E, Size>) {
      info_.min = clamp(min.bytes);
      info_.max = clamp(max.bytes);
    } else if constexpr (std::same_as<E, Duration>) {
      info_.min = min.count();
      info_.max = max.count();
    } else {
      info_.min = clamp(min);
      info_.max = clamp(max);
    }
    return *this;
  }
  /// Octets of a string.
  Field& length(std::size_t min, std::size_t max)
    requires std::same_as<E, std::string>
  {
    info_.min_length = min;
    info_.max_length = max;
    return *this;
  }
  /// The only strings that are right.
  Field& one_of(std::initializer_list<std::string_view> words)
    requires std::same_as<E, std::string>
  {
    info_.allowed.assign(words.begin(), words.end());
    return *this;
  }
  /// The words for an enum's values. Every enum field needs them.
  Field& names(std::vector<std::pair<std::string, E>> names)
    requires std::is_enum_v<E>
  {
    info_.allowed.clear();
    for (auto& [word, value] : names) {
      info_.allowed.push_back(word);
      values_->push_back(value);
    }
    return *this;
  }
  /// A check of one value: nothing, or what is wrong with it ("is not a host name").
  Field& check(std::function<std::optional<std::string>(const E&)> fn)
    requires(!std::is_enum_v<E>)
  {
    info_.check = [fn = std::move(fn)](const ConfigScalar& scalar) { return fn(from(scalar, nullptr)); };
    return *this;
  }

  using EnumValues = std::vector<E>;
  static E from(const ConfigScalar& scalar, const EnumValues* values) {
    if constexpr (std::is_enum_v<E>)
      return values->at(static_cast<std::size_t>(std::get<std::int64_t>(scalar)));
    else if constexpr (std::same_as<E, bool>)
      return std::get<bool>(scalar);
    else if constexpr (std::integral<E>)
      return static_cast<E>(std::get<std::int64_t>(scalar));
    else if constexpr (std::floating_point<E>)
      return static_cast<E>(std::get<double>(scalar));
    else
      return std::get<E>(scalar);
  }
  static ConfigScalar to(const E& value, const EnumValues* values) {
    if constexpr (std::is_enum_v<E>) {
      std::size_t at = 0;
      while (at < values->size() && (*values)[at] != value) ++at;
      return static_cast<std::int64_t>(at);
    } else if constexpr (std::same_as<E, bool>)
      return value;
    else if constexpr (std::integral<E>)
      return clamp(value);
    else if constexpr (std::floating_point<E>)
      return static_cast<double>(value);
    else
      return value;
  }
  template <std::integral I>
  static std::int64_t clamp(I n) {  // TOML integers are signed, of 64 bits
    constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
    return std::cmp_greater(n, kMax) ? kMax : static_cast<std::int64_t>(n);
  }

 private:
  template <class>
  friend class Schema;
  FieldInfo& info_;
  std::shared_ptr<EnumValues> values_ = std::make_shared<EnumValues>();  // shared with the accessors in info_
};

/// What a module fills in describe(Schema<T>&).
template <class T>
class Schema final : public SchemaBase {
 public:
  /// The name of the table ("pop3", "relay.limits"; "" for keys and tables at the file's top level) and what it is for.
  void table(std::string_view path, std::string_view doc) {
    path_ = path;
    doc_ = doc;
  }
  void applies(Apply when) { apply_ = when; }  ///< of fields that say nothing themselves

  /// A key with a value, a list of values, or a map from names to values.
  template <class O, class M>
  Field<typename MemberShape<M>::Element> field(std::string_view name, M O::* member, std::string_view doc);

  /// A table (or tables) of its own struct, described by describe(Schema<Element>&).
  template <class O, class M>
  void table_field(std::string_view name, M O::* member, std::string_view doc, std::size_t min_items = 0,
                   std::size_t max_items = 10000);

  /// A check of the whole table, run when all its fields are right.
  void check(std::function<void(const T&, Diagnostics&)> fn) { checks_.push_back(std::move(fn)); }

  std::shared_ptr<void> make() const override { return std::make_shared<T>(); }
  Located* located(void* settings) const override {
    if constexpr (std::derived_from<T, Located>)
      return static_cast<T*>(settings);
    else
      return static_cast<void>(settings), nullptr;
  }
  const Located* located(const void* settings) const override {
    if constexpr (std::derived_from<T, Located>)
      return static_cast<const T*>(settings);
    else
      return static_cast<void>(settings), nullptr;
  }
  void run_checks(const void* settings, Diagnostics& diagnostics) const override {
    for (const auto& fn : checks_) fn(*static_cast<const T*>(settings), diagnostics);
  }

 private:
  std::vector<std::function<void(const T&, Diagnostics&)>> checks_;
};

// --- how Schema<T> ties a name to a member ---

template <class T>
template <class O, class M>
Field<typename MemberShape<M>::Element> Schema<T>::field(std::string_view name, M O::* member, std::string_view doc) {
  static_assert(std::derived_from<T, O>);
  using E = typename MemberShape<M>::Element;
  constexpr FieldShape kShape = MemberShape<M>::kShape;
  FieldInfo& info = add(name, doc);
  info.shape = kShape;
  info.kind = scalar_kind<E>();
  if constexpr (scalar_kind<E>() == ScalarKind::kInteger) {
    info.min = Field<E>::clamp(std::numeric_limits<E>::min());
    info.max = Field<E>::clamp(std::numeric_limits<E>::max());
  }
  Field<E> field(info);
  auto values = field.values_;
  auto of = [member](void* owner) -> M& { return static_cast<T*>(owner)->*member; };
  auto see = [member](const void* owner) -> const M& { return static_cast<const T*>(owner)->*member; };
  if constexpr (kShape == FieldShape::kMap) {
    info.put = [of, values](void* owner, const std::string& key, const ConfigScalar& scalar) {
      of(owner).insert_or_assign(key, Field<E>::from(scalar, values.get()));
    };
    info.entries = [see, values](const void* owner) {
      std::vector<std::pair<std::string, ConfigScalar>> all;
      for (const auto& [key, value] : see(owner)) all.emplace_back(key, Field<E>::to(value, values.get()));
      return all;
    };
  } else {
    info.set = [of, values](void* owner, const std::vector<ConfigScalar>& scalars) {
      if constexpr (kShape == FieldShape::kList) {
        of(owner).clear();
        for (const auto& scalar : scalars) of(owner).push_back(Field<E>::from(scalar, values.get()));
      } else {
        of(owner) = Field<E>::from(scalars.front(), values.get());
      }
    };
    info.get = [see, values](const void* owner) {
      std::vector<ConfigScalar> all;
      const M& value = see(owner);
      if constexpr (kShape == FieldShape::kOne)
        all.push_back(Field<E>::to(value, values.get()));
      else if constexpr (kShape == FieldShape::kOptional) {
        if (value) all.push_back(Field<E>::to(*value, values.get()));
      } else
        for (const auto& element : value) all.push_back(Field<E>::to(element, values.get()));
      return all;
    };
  }
  return field;
}

template <class T>
template <class O, class M>
void Schema<T>::table_field(std::string_view name, M O::* member, std::string_view doc, std::size_t min_items,
                            std::size_t max_items) {
  static_assert(std::derived_from<T, O>);
  using E = typename MemberShape<M>::Element;
  constexpr FieldShape kShape = MemberShape<M>::kShape;
  FieldInfo& info = add(name, doc);
  auto child = std::make_shared<Schema<E>>();
  describe(*child);
  info.child = std::move(child);
  info.min_items = min_items;
  info.max_items = max_items;
  info.emplace = [member](void* owner, [[maybe_unused]] const std::string& key) -> void* {
    M& value = static_cast<T*>(owner)->*member;
    if constexpr (kShape == FieldShape::kOne)
      return &value;
    else if constexpr (kShape == FieldShape::kOptional)
      return &value.emplace();
    else if constexpr (kShape == FieldShape::kList)
      return &value.emplace_back();
    else
      return &value[key];
  };
  info.children = [member](const void* owner) {
    std::vector<std::pair<std::string, const void*>> all;
    const M& value = static_cast<const T*>(owner)->*member;
    if constexpr (kShape == FieldShape::kOne)
      all.emplace_back("", &value);
    else if constexpr (kShape == FieldShape::kOptional) {
      if (value) all.emplace_back("", &*value);
    } else if constexpr (kShape == FieldShape::kList)
      for (const auto& element : value) all.emplace_back("", &element);
    else
      for (const auto& [key, element] : value) all.emplace_back(key, &element);
    return all;
  };
  if constexpr (kShape == FieldShape::kOne)
    info.shape = FieldShape::kTable;
  else if constexpr (kShape == FieldShape::kOptional)
    info.shape = FieldShape::kOptionalTable;
  else if constexpr (kShape == FieldShape::kList)
    info.shape = FieldShape::kTables;
  else
    info.shape = FieldShape::kTableMap;
}

}  // namespace postern
