// What scripts see of a message: header, addresses, parts, envelope and session; and what their edits leave alone.
#include <fmt/format.h>

#include "lua_for_tests.h"
#include "parts.h"

namespace postern::lua {
namespace {

const std::string kMessage =
    "Received: from a\r\n"
    "Received: from b\r\n"
    "From: =?utf-8?q?Ren=C3=A9?= <rene@elsewhere.example>\r\n"
    "To: Team: \"Ann, A.\" <ann@ours.example>, ben@OURS.example;, broken address,\r\n"
    " <carl@xn--bcher-kva.example>\r\n"
    "Subject: =?utf-8?q?caf=C3=A9?=\r\n"
    "Content-Type: multipart/mixed; boundary=\"b1\"\r\n"
    "\r\n"
    "preamble\r\n"
    "--b1\r\n"
    "Content-Type: multipart/alternative; boundary=b2\r\n"
    "\r\n"
    "--b2\r\n"
    "Content-Type: text/html; charset=utf-8\r\n"
    "\r\n"
    "<p>hello</p>\r\n"
    "--b2\r\n"
    "Content-Type: text/plain; charset=iso-8859-1; format=flowed\r\n"
    "Content-Transfer-Encoding: quoted-printable\r\n"
    "\r\n"
    "caf=E9 is op=\r\nen\r\n"
    "--b2--\r\n"
    "--b1\r\n"
    "Content-Type: application/octet-stream; name=\"=?utf-8?q?d=C3=A9j=C3=A0.exe?=\"\r\n"
    "Content-Disposition: attachment\r\n"
    "Content-Transfer-Encoding: base64\r\n"
    "Content-Description: =?utf-8?q?t=C3=A9st?=\r\n"
    "X-Part: own\r\n"
    "\r\n"
    "AAEC/w==\r\n"
    "--b1\r\n"
    "Content-Type: message/rfc822\r\n"
    "\r\n"
    "Subject: inner\r\n"
    "\r\n"
    "inner text\r\n"
    "--b1--\r\n";

struct MessageWorld : World {
  explicit MessageWorld(const std::string& message = kMessage) { with_message(message); }
  /// A hook at `stage`.
  std::string at(const std::string& stage, const std::string& body) {
    if (!load("local postern = require 'postern'\npostern.on('" + stage + "', function(session, mail)\n" + body +
              "\nend)\n"))
      return problems;
    return said();
  }
  std::string value(const std::string& expression) {
    return at("message", "return postern.reject(550, '5.0.0', 'is ' .. tostring(" + expression + "))");
  }
  /// The last lines of a body that builds a list `out`.
  std::string list(const std::string& body) {
    return at("message", "local out = {}\n" + body + "\nreturn postern.reject(550, '5.0.0', table.concat(out, '|'))");
  }
};

TEST_CASE("header fields: each of them, decoded or as it came") {
  MessageWorld world;
  CHECK(world.value("mail:header 'subject'") == "is café");
  CHECK(world.value("mail:header('received', 2) .. mail:header('Received', -2)") == "is from bfrom a");
  CHECK(world.value("mail:header('received', 3)") == "is nil");
  CHECK(world.value("mail:header('received', 0)").find("counted from 1") != std::string::npos);
  CHECK(world.list("for i, value in ipairs(mail:headers 'Received') do out[i] = i .. value end") == "1from a|2from b");
  CHECK(world.list("for i, field in ipairs(mail:headers()) do out[i] = field.name end") ==
        "Received|Received|From|To|Subject|Content-Type");
  CHECK(world.value("mail:headers()[5].value") == "is café");
  CHECK(world.value("mail:raw_header 'Subject' == 'Subject: =?utf-8?q?caf=C3=A9?=\\r\\n'") == "is true");
  CHECK(world.value("mail:raw_header('Received', -1) == 'Received: from b\\r\\n'") == "is true");
  CHECK(world.value("#mail:raw_header()") == fmt::format("is {}", kMessage.find("\r\n\r\n") + 2));
}

TEST_CASE("addresses are taken apart, groups and broken ones as well") {
  MessageWorld world;
  CHECK(world.list(
            "for i, a in ipairs(mail:addresses 'From') do out[i] = a.name .. ' ' .. a.address .. ' ' .. a.local_part "
            ".. ' ' .. a.domain end") == "René rene@elsewhere.example rene elsewhere.example");
  CHECK(world.list("for i, a in ipairs(mail:addresses 'To') do out[i] = tostring(a.name) .. ' ' .. tostring(a.address) "
                   ".. ' ' .. "
                   "tostring(a.group) end") ==
        "Ann, A. ann@ours.example Team|nil ben@ours.example Team|broken nil nil|nil carl@xn--bcher-kva.example nil");
  CHECK(world.value("#mail:addresses 'Cc'") == "is 0");
}

TEST_CASE("parts: the tree, their types, names and sizes") {
  MessageWorld world;
  CHECK(world.list("for i, p in ipairs(mail:parts()) do out[i] = p.depth .. ' ' .. p.type end") ==
        "0 multipart/mixed|1 multipart/alternative|2 text/html|2 text/plain|1 application/octet-stream|1 "
        "message/rfc822|2 text/plain");
  CHECK(world.list("for i, p in ipairs(mail:parts()[2].children) do out[i] = p.type .. p.charset .. p.encoding end") ==
        "text/htmlutf-87bit|text/plainiso-8859-1quoted-printable");
  CHECK(world.value("mail:parts()[4].parent == mail:parts()[2] and mail:parts()[1].parent == nil") == "is true");
  CHECK(world.value("mail:part '1.2'.parameters.format") == "is flowed");
  CHECK(world.value("mail:part '7'") == "is nil");
  CHECK(world.list("for i, p in ipairs(mail:attachments()) do out[i] = p.type .. ' ' .. tostring(p.filename) .. ' ' .. "
                   "tostring(p.disposition) .. ' ' .. p.size end") == "application/octet-stream déjà.exe attachment 8");
  CHECK(world.value("mail:attachments()[1].description .. mail:attachments()[1]:header 'x-part'") == "is téstown");
  CHECK(world.value("tostring(mail:parts()[1]) .. tostring(mail:parts()[1].is_multipart)") ==
        "is part multipart/mixedtrue");
  CHECK(world.value("mail:parts()[1].nothing").find("part has no field 'nothing'") != std::string::npos);
}

TEST_CASE("contents are decoded when a script asks, up to a limit") {
  MessageWorld world;
  CHECK(world.list("local text, part, more = mail:text() out = { text, part.type, tostring(more) }") ==
        "café is open|text/plain|false");
  CHECK(world.list("local text, part, more = mail:text(4) out = { text, part.type, tostring(more) }") ==
        "caf|text/plain|true");
  CHECK(world.list("local text, part, more = mail:text(5) out = { text, tostring(more) }") == "café|true");
  CHECK(world.value("mail:parts()[3]:text()") == "is <p>hello</p>");
  CHECK(world.value("mail:parts()[5]:text()") == "is nil");
  CHECK(world.value("postern.hex.encode(mail:attachments()[1]:data())") == "is 000102ff");
  CHECK(world.list(
            "local data, more = mail:attachments()[1]:data(2) out = { postern.hex.encode(data), tostring(more) }") ==
        "0001|true");
  CHECK(world.list(
            "local data, more = mail:attachments()[1]:data(4) out = { postern.hex.encode(data), tostring(more) }") ==
        "000102ff|false");
  CHECK(world.value("mail:parts()[6]:data() == 'Subject: inner\\r\\n\\r\\ninner text'") == "is true");
  CHECK(world.list("local got = postern.all { a = function() return mail:parts()[3]:text() end, b = function() return "
                   "(mail:text()) end } out = { got.a, got.b }") == "<p>hello</p>|café is open");
  CHECK(world.list(
            "local f = coroutine.wrap(function() coroutine.yield(#mail:parts()) return mail:text(3) end) out = { f(), "
            "(f()) }") == "7|caf");
}

TEST_CASE("a mail of one text, of HTML only, of none, and without a body") {
  CHECK(MessageWorld("Subject: x\r\n\r\nplain\r\n").value("mail:text()") == "is plain\r\n");
  CHECK(MessageWorld("Content-Type: text/html\r\n\r\n<b>").list("local t, p = mail:text() out = { t, p.type }") ==
        "<b>|text/html");
  CHECK(MessageWorld("Content-Type: image/png\r\n\r\nx").value("mail:text()") == "is nil");
  CHECK(MessageWorld("Subject: x\r\n").value("#mail:text() .. #mail:parts() .. #mail:attachments()") == "is 010");
  CHECK(MessageWorld("Content-Type: text/plain; charset=no-such\r\n\r\ncaf\xe9 \xff").value("mail:text()") ==
        "is café ÿ");
  CHECK(MessageWorld("Content-Type: message/rfc822\r\n\r\nSubject: x\r\n\r\ninner").value("mail:text()") == "is nil");
}

TEST_CASE("a large mail is read in pieces, and the structure once for all rules") {
  std::string message = "Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\n\r\n";
  while (message.size() < 2'000'000)
    message += "a line of no interest, seventy octets and a bit more of it, and so on\r\n";
  message +=
      "--x\r\nContent-Type: text/plain; name=last.txt\r\nContent-Disposition: attachment\r\n\r\nend\r\n--x--\r\n";
  MessageWorld world(message);
  CHECK(world.value("mail:attachments()[1].filename .. mail:attachments()[1]:data()") == "is last.txtend");
  CHECK(world.list("local text, part, more = mail:text() out = { #text, tostring(more) }") ==
        fmt::format("{}|true", kMaxPartText));
  CHECK(world.value("#mail:parts()[2]:data()") == fmt::format("is {}", kDefaultPartData));
  CHECK(world.value("#mail:parts()[2]:data(1 << 24) > 1900000") == "is true");
  world.limits.memory = 1 << 20;
  CHECK(world.value("#mail:parts()[2]:data(1 << 24)").starts_with("script.memory"));
}

TEST_CASE("what is not there at a stage is an error that names the stage") {
  World world;
  CHECK(world.eval("return mail:header 'Subject'").find("there is no text of the mail at the stage 'rcpt'") !=
        std::string::npos);
  CHECK(world.eval("return mail.received_count").find("at the stage 'rcpt'") != std::string::npos);
  CHECK(world.eval("return mail:parts()").find("at the stage 'rcpt'") != std::string::npos);
  MessageWorld with;
  CHECK(with.at("data", "return postern.reject(550, '5.0.0', mail:header 'Subject')") == "café");
  CHECK(with.at("data", "return mail:text()").find("the body has not come yet at the stage 'data'") !=
        std::string::npos);
  CHECK(with.value("select(2, pcall(string.gsub, 'x', 'x', function() return mail:text() end))")
            .find("cannot be read inside a function that is called by sort") != std::string::npos);
}

TEST_CASE("edits leave the octets of other fields as they are") {
  MessageWorld world;
  const auto edited = [&](const std::string& body) {
    world.mail.edits.clear();
    const std::string told = world.at("message", body);
    if (told != "nothing") return told;
    return world.mail.edits.apply(HeaderBlock(world.draft->header())).join();
  };
  const std::string before = kMessage.substr(0, kMessage.find("\r\n\r\n") + 2);
  CHECK(edited("mail:add_header('X-A', 'b')") == before + "X-A: b\r\n");
  CHECK(edited("mail:add_header('X-A', 'é', 'top')") == "X-A: =?utf-8?b?w6k=?=\r\n" + before);
  CHECK(edited("mail:add_header('X-A', 'b', 'middle')").find("invalid option 'middle'") != std::string::npos);
  std::string without = before;
  without.erase(0, without.find("\r\n") + 2);
  CHECK(edited("mail:remove_header('received', 1)") == without);
  CHECK(edited("mail:remove_header('received', 9)") == before);
  without.erase(0, without.find("\r\n") + 2);
  CHECK(edited("mail:remove_header 'RECEIVED'") == without);
  std::string replaced = before;
  replaced.replace(replaced.find("Received: from b"), 16, "Received: from c");
  CHECK(edited("mail:replace_header('Received', -1, 'from c')") == replaced);
  CHECK(edited("mail:replace_header('Received', 3, 'from c')").find("this mail has no such field Received") !=
        std::string::npos);
  CHECK(edited("mail:set_header('Subject', 'x')") ==
        std::string(before).erase(before.find("Subject"), std::string("Subject: =?utf-8?q?caf=C3=A9?=\r\n").size()) +
            "Subject: x\r\n");
  CHECK(edited("mail:add_header('X-A', ('x'):rep(40000))").find("at most 32 KiB") != std::string::npos);
  CHECK(edited("for i = 1, 2000 do mail:add_header('X-A', 'b') end").find("too many header edits") !=
        std::string::npos);
  CHECK(edited("mail:add_header('X-A', 'a\\r\\nBcc: evil@x')").find("\nBcc") == std::string::npos);
  CHECK(edited("mail:add_header('X-A', '<a\\r\\nBcc: b>\\r\\nBcc: <evil@x>')").find("\nBcc") == std::string::npos);
  CHECK(edited("mail:add_header('Cc', 'é <a@b.example>, <c@d.example>')") ==
        before + "Cc: =?utf-8?b?w6k=?= <a@b.example>, <c@d.example>\r\n");
}

TEST_CASE("what a mail was sent with cannot be assigned") {
  MessageWorld world;
  CHECK(world.at("message", "mail.sender = 'x@y.example'").contains("mail.sender cannot be set"));
  CHECK(world.at("message", "mail.recipients[1].address = 'x@y.example'").contains("recipient.address cannot be set"));
}

TEST_CASE("the envelope with all that MAIL and RCPT said") {
  MessageWorld world;
  Envelope& envelope = world.mail.envelope;
  CHECK(world.list("out = { mail.body_type, tostring(mail.smtputf8), tostring(mail.priority), tostring(mail.envid), "
                   "tostring(mail.dsn_return), tostring(mail.declared_size), tostring(mail.hold_until), "
                   "tostring(mail.deliver_by), tostring(mail.require_tls) }") ==
        "7bit|false|nil|nil|nil|nil|nil|nil|false");
  envelope.body = BodyType::k8BitMime;
  envelope.priority = -3;
  envelope.envid = "QQ+2B1";
  envelope.ret = DsnReturn::kHeaders;
  envelope.size = 99;
  envelope.smtputf8 = envelope.require_tls = true;
  envelope.hold_until = WallTime(std::chrono::seconds(1'800'000'000));
  envelope.deliver_by = DeliverBy{WallTime(std::chrono::seconds(1'800'000'060)), true, false};
  envelope.recipients[0].orcpt = "rfc822;old+40other.example";
  envelope.recipients[0].notify = kNotifySuccess | kNotifyDelay;
  CHECK(world.list(
            "local by = mail.deliver_by out = { mail.body_type, tostring(mail.smtputf8), mail.priority, mail.envid, "
            "mail.dsn_return, mail.declared_size, mail.hold_until, by.time, tostring(by.return_if_late), "
            "tostring(by.trace), tostring(mail.require_tls) }") ==
        "8bitmime|true|-3|QQ+1|headers|99|1800000000|1800000060|true|false|true");
  CHECK(world.list("local r = mail.recipients[1] out = { r.orcpt.type, r.orcpt.address, r.notify, "
                   "tostring(mail.recipients[2].orcpt), tostring(mail.recipients[2].notify) }") ==
        "rfc822|old@other.example|SUCCESS,DELAY|nil|nil");
  CHECK(world.value("mail.id == nil") == "is false");
}

TEST_CASE("the session: where the client is, and who said so") {
  MessageWorld world;
  world.session.client.reverse_name = "host.example";
  world.session.client.reverse_verified = true;
  world.session.client.esmtp = true;
  CHECK(world.list("local c = session.client out = { tostring(session.proxy), tostring(session.esmtp), c.reverse_name, "
                   "tostring(c.reverse_verified), tostring(session.tls), tostring(session.auth.user) }") ==
        "nil|true|host.example|true|nil|nil");
  world.session.proxy = IpAddress::parse("192.0.2.7");
  CHECK(world.value("session.proxy") == "is 192.0.2.7");
}

TEST_CASE("a coroutine that waits for the text of a mail cannot be resumed before it has come") {
  MessageWorld world;
  for (const std::string method : {"parts()", "text()"}) {
    INFO(method);
    const std::string coroutine = "local c = coroutine.create(function() return mail:" + method + " end)\n";
    CHECK(world
              .at("message", coroutine + "local out = postern.all { function() coroutine.resume(c) end,\n"
                                         "  function() return select(2, coroutine.resume(c)) end }\n"
                                         "return postern.reject(550, '5.0.0', tostring(out[2]))")
              .find("waits for an answer that has not come") != std::string::npos);
    CHECK(world
              .at("message", coroutine +
                                 "pcall(postern.all, { function() coroutine.resume(c) end, function() error 'x' end "
                                 "})\nerror(select(2, coroutine.resume(c)))")
              .find("waits for an answer that has not come") != std::string::npos);
  }
}

}  // namespace
}  // namespace postern::lua
