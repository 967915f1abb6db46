#include "postern/endpoint.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <cstring>

using namespace postern;

TEST_CASE("addresses are read strictly and printed in their shortest form") {
  CHECK(IpAddress::parse("192.0.2.1")->to_string() == "192.0.2.1");
  CHECK(IpAddress::parse("2001:DB8:0:0:0:0:0:1")->to_string() == "2001:db8::1");
  for (const char* bad :
       {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "256.1.1.1", " 1.2.3.4", "1.2.3.4 ", "[::1]", "::g", "1::2::3",
        "fe80::1%eth0", "::ffff:1.2.3.4.5", "1111:2222:3333:4444:5555:6666:7777:8888:9999"})
    CHECK_MESSAGE(!IpAddress::parse(bad), bad);
  CHECK(!IpAddress::parse(std::string_view("1.2.3.4\0", 8)));
  CHECK(!IpAddress::parse(std::string(1000, '1')));
}

TEST_CASE("a mapped address is the IPv4 address that it maps") {
  const auto mapped = IpAddress::parse("::ffff:192.0.2.1");
  REQUIRE(mapped);
  CHECK(!mapped->is_v6());
  CHECK(*mapped == *IpAddress::parse("192.0.2.1"));
  CHECK(IpNetwork::parse("::ffff:192.0.2.0/120")->to_string() == "192.0.2.0/24");
  CHECK(!IpNetwork::parse("::ffff:192.0.2.0/24"));
}

TEST_CASE("addresses know what they are") {
  for (const char* text : {"127.0.0.1", "127.255.0.3", "::1"}) CHECK(IpAddress::parse(text)->is_loopback());
  for (const char* text : {"128.0.0.1", "::2", "1::1"}) CHECK(!IpAddress::parse(text)->is_loopback());
  for (const char* text :
       {"10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.9.9", "169.254.1.1", "fd00::1", "fe80::1", "febf::1"})
    CHECK_MESSAGE(IpAddress::parse(text)->is_private(), text);
  for (const char* text : {"11.0.0.1", "172.32.0.1", "172.15.0.1", "192.169.0.1", "2001:db8::1", "fec0::1"})
    CHECK_MESSAGE(!IpAddress::parse(text)->is_private(), text);
}

TEST_CASE("addresses print reversed for DNS and as literals for SMTP") {
  CHECK(IpAddress::parse("192.0.2.1")->reversed() == "1.2.0.192");
  CHECK(IpAddress::parse("2001:db8::1")->reversed() ==
        "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2");
  CHECK(IpAddress::parse("192.0.2.1")->literal() == "[192.0.2.1]");
  CHECK(IpAddress::parse("::1")->literal() == "[IPv6:::1]");
}

TEST_CASE("a network holds its addresses and no others") {
  const auto network = IpNetwork::parse("192.0.2.64/26");
  REQUIRE(network);
  CHECK(network->contains(*IpAddress::parse("192.0.2.64")));
  CHECK(network->contains(*IpAddress::parse("192.0.2.127")));
  CHECK(!network->contains(*IpAddress::parse("192.0.2.128")));
  CHECK(!network->contains(*IpAddress::parse("192.0.2.63")));
  CHECK(IpNetwork::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:7fff::1")));
  CHECK(!IpNetwork::parse("2001:db8::/33")->contains(*IpAddress::parse("2001:db8:8000::1")));
  CHECK(IpNetwork::parse("0.0.0.0/0")->contains(*IpAddress::parse("255.1.2.3")));
  CHECK(!IpNetwork::parse("0.0.0.0/0")->contains(*IpAddress::parse("::1")));
  CHECK(IpNetwork::parse("192.0.2.7")->to_string() == "192.0.2.7/32");
  CHECK(IpNetwork::parse("::1")->prefix() == 128);
}

TEST_CASE("a network with bits beyond its prefix, or a prefix that is none, is refused") {
  for (const char* bad : {"192.0.2.1/24", "192.0.2.0/33", "192.0.2.0/", "192.0.2.0/-1", "192.0.2.0/024",
                          "192.0.2.0/2 4", "2001:db8::1/64", "2001:db8::/129", "/24", "x/8", "1.0.0.0/8/8"})
    CHECK_MESSAGE(!IpNetwork::parse(bad), bad);
}

TEST_CASE("networks overlap when one holds the other") {
  const auto wide = *IpNetwork::parse("10.0.0.0/8");
  CHECK(wide.overlaps(*IpNetwork::parse("10.200.0.0/16")));
  CHECK(IpNetwork::parse("10.200.0.0/16")->overlaps(wide));
  CHECK(!wide.overlaps(*IpNetwork::parse("11.0.0.0/8")));
  CHECK(!wide.overlaps(*IpNetwork::parse("::/0")));
}

TEST_CASE("endpoints are read and printed alike") {
  for (const char* text : {"127.0.0.1:25", "[::1]:465", "0.0.0.0:0", "unix:/run/postern/lmtp"}) {
    const auto endpoint = Endpoint::parse(text);
    REQUIRE_MESSAGE(endpoint, text);
    CHECK(endpoint->to_string() == text);
  }
  CHECK(Endpoint::parse("unix:/run/x")->is_unix());
  for (const char* bad :
       {"", "25", ":25", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:025", "127.0.0.1:+25", "::1:25",
        "[::1]", "[127.0.0.1]:25", "localhost:25", "unix:", "unix:/", "unix:relative"})
    CHECK_MESSAGE(!Endpoint::parse(bad), bad);
  CHECK(!Endpoint::parse("unix:/" + std::string(200, 'x')));
}

TEST_CASE("a system's address becomes an endpoint") {
  sockaddr_in6 in6{};
  in6.sin6_family = AF_INET6;
  in6.sin6_port = htons(587);
  in6.sin6_addr.s6_addr[15] = 1;
  CHECK(Endpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&in6)).to_string() == "[::1]:587");
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  CHECK(Endpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&un)).is_unix());
  std::memset(un.sun_path, 'p', sizeof un.sun_path);  // the system need not end a full path with a zero
  CHECK(Endpoint::from_sockaddr(reinterpret_cast<sockaddr*>(&un)).path.size() == sizeof un.sun_path);
}

TEST_CASE("public addresses are those that anybody may have") {
  for (const char* text :
       {"8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "198.20.0.1", "2a00:1450::1", "2001:200::1"})
    CHECK_MESSAGE(IpAddress::parse(text)->is_public(), text);
  for (const char* text : {"0.0.0.0",         "10.1.2.3",  "100.64.0.1",  "127.0.0.1",   "169.254.169.254",
                           "172.16.0.1",      "192.0.0.1", "192.168.1.1", "198.18.0.1",  "224.0.0.1",
                           "255.255.255.255", "::",        "::1",         "::127.0.0.1", "64:ff9b::a01:203",
                           "2002:a01:203::1", "2001::1",   "fc00::1",     "fe80::1",     "ff02::1"})
    CHECK_MESSAGE(!IpAddress::parse(text)->is_public(), text);
}
