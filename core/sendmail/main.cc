// postern-sendmail, also as sendmail, mailq and newaliases.
#include <sysexits.h>
#include <csignal>
#include <cstdio>
#include <iostream>

#include "core/sendmail/program.h"

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  std::ios::sync_with_stdio(false);
  try {
    return postern::sendmail::run(argc > 0 ? argv[0] : "sendmail", {argv + (argc > 0 ? 1 : 0), argv + argc}, std::cin,
                                  std::cout, std::cerr);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "sendmail: %s\n", error.what());
    return EX_SOFTWARE;
  }
}
