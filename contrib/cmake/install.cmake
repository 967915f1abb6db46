# What `cmake --install BUILD --prefix X` puts where. Nothing absolute is recorded: the whole may be moved, and the program
# finds its library and its modules from where it stands.
#
#   bin/postern, bin/postern-sendmail  RPATH $ORIGIN/../lib
#   lib/libpostern.so*
#   lib/postern/modules/*.so           lib/postern/plugins/*.so
#   lib/postern/sendmail, mailq, newaliases   links to bin/postern-sendmail
#   lib/tmpfiles.d/postern.conf        the drop folder, for systemd-tmpfiles
#   lib/cmake/Postern/                 find_package(Postern) for plugins out of the tree
#   lib/systemd/system/postern.service with the prefix's program in it
#   include/postern/                   the SDK, and the fingerprint of this build
#   share/postern/scripts/             share/doc/postern/SETTINGS.md
#   etc/postern/postern.toml.sample, sendmail.conf.sample
#
# Names of other mail servers' programs are not in bin/: beside a distribution's sendmail they would hide it, or be hidden. A
# package that is this machine's mail server (Debian: Provides and Conflicts mail-transport-agent) links /usr/sbin/sendmail,
# /usr/lib/sendmail, /usr/bin/mailq and /usr/bin/newaliases to those in lib/postern/; by hand see core/sendmail/README.md.
set_target_properties(postern postern-sendmail PROPERTIES INSTALL_RPATH "$ORIGIN/../lib")
install(TARGETS postern postern-sendmail RUNTIME DESTINATION bin)
file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/generated/links)
foreach(name sendmail mailq newaliases)
  set(link ${CMAKE_BINARY_DIR}/generated/links/${name})
  file(CREATE_LINK ../../bin/postern-sendmail ${link} SYMBOLIC)
  install(FILES ${link} DESTINATION lib/postern)
endforeach()
install(TARGETS postern_lib LIBRARY DESTINATION lib)

get_property(modules GLOBAL PROPERTY postern_modules)
foreach(module ${modules})
  get_target_property(folder ${module} SOURCE_DIR)
  get_filename_component(folder ${folder} NAME)   # modules or plugins
  set_target_properties(${module} PROPERTIES INSTALL_RPATH "$ORIGIN/../..")
  install(TARGETS ${module} LIBRARY DESTINATION lib/postern/${folder})
endforeach()

install(DIRECTORY ${CMAKE_SOURCE_DIR}/core/include/postern DESTINATION include FILES_MATCHING PATTERN "*.h")
install(FILES ${CMAKE_BINARY_DIR}/generated/postern/fingerprint.h DESTINATION include/postern)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/scripts/ DESTINATION share/postern/scripts)
install(FILES ${CMAKE_SOURCE_DIR}/etc/SETTINGS.md DESTINATION share/doc/postern)
install(FILES ${CMAKE_SOURCE_DIR}/etc/postern.toml DESTINATION etc/postern RENAME postern.toml.sample)
install(FILES ${CMAKE_SOURCE_DIR}/core/sendmail/sendmail.conf DESTINATION etc/postern RENAME sendmail.conf.sample)
install(FILES ${CMAKE_SOURCE_DIR}/core/sendmail/tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME postern.conf)

# The unit names the program by its path, which is known only now.
install(CODE "
  file(READ \"${CMAKE_SOURCE_DIR}/etc/postern.service\" unit)
  string(REPLACE \"/usr/local/bin/postern\" \"\${CMAKE_INSTALL_PREFIX}/bin/postern\" unit \"\${unit}\")
  file(WRITE \"${CMAKE_BINARY_DIR}/generated/postern.service\" \"\${unit}\")
  file(INSTALL DESTINATION \"\${CMAKE_INSTALL_PREFIX}/lib/systemd/system\" TYPE FILE
    FILES \"${CMAKE_BINARY_DIR}/generated/postern.service\")")

include(CMakePackageConfigHelpers)
configure_package_config_file(${CMAKE_SOURCE_DIR}/contrib/cmake/PosternConfig.cmake.in
  ${CMAKE_BINARY_DIR}/generated/PosternConfig.cmake INSTALL_DESTINATION lib/cmake/Postern)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/generated/PosternConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/generated/PosternConfig.cmake ${CMAKE_BINARY_DIR}/generated/PosternConfigVersion.cmake
  DESTINATION lib/cmake/Postern)
