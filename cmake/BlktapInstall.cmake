# Where things go on a host. Everything that is installed can be taken away again: the target `uninstall` removes what
# the last `cmake --install` of this build folder put there.

# Xen's scripts look for tap-ctl in /usr, systemd for units, and one host has one tapback: so not /usr/local.
if(CMAKE_INSTALL_PREFIX_INITIALIZED_TO_DEFAULT)
    set(CMAKE_INSTALL_PREFIX /usr CACHE PATH "Where programs and pages are installed" FORCE)
endif()
include(GNUInstallDirs)

# These two are where others look, whatever our prefix is.
set(BLKTAP_CONFIG_DIR /etc/tapdisk CACHE PATH "Where tapback looks for tapdisk.conf")
set(BLKTAP_XEN_SCRIPTS_DIR /etc/xen/scripts CACHE PATH "Where xl looks for hotplug scripts")
# Both systemd's directory of packages and that of /usr/local have this name below their prefix.
set(BLKTAP_UNIT_DIR lib/systemd/system CACHE PATH "Where systemd looks for units")

# blktap_install_program(NAME DESTINATION)
#   ${CMAKE_INSTALL_SBINDIR} for what only root uses, ${CMAKE_INSTALL_BINDIR} for the rest, ${BLKTAP_XEN_SCRIPTS_DIR}.
function(blktap_install_program name destination)
    install(TARGETS ${name} RUNTIME DESTINATION ${destination})
endfunction()

# blktap_install_config(FILE)
#   Into ${BLKTAP_CONFIG_DIR}; one that was edited there stays as it is, now and when the rest is removed.
function(blktap_install_config file)
    get_filename_component(name ${file} NAME)
    get_filename_component(file ${file} ABSOLUTE)
    install(CODE "set(file \"${file}\")
set(config \"${BLKTAP_CONFIG_DIR}/${name}\")
set(pristine \"\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_DATADIR}/tapdisk/${name}\")
include(\"${PROJECT_SOURCE_DIR}/cmake/InstallConfig.cmake\")")
    set_property(GLOBAL APPEND PROPERTY BLKTAP_CONFIGS "${BLKTAP_CONFIG_DIR}/${name}")
endfunction()

# blktap_add_uninstall(TARGET): after everything that is installed.
function(blktap_add_uninstall target)
    get_property(configs GLOBAL PROPERTY BLKTAP_CONFIGS)
    add_custom_target(${target} VERBATIM USES_TERMINAL
        COMMAND ${CMAKE_COMMAND} "-DMANIFEST=${CMAKE_BINARY_DIR}/install_manifest.txt" "-DCONFIGS=${configs}"
                "-DSCRIPTS=${BLKTAP_XEN_SCRIPTS_DIR}" -P ${PROJECT_SOURCE_DIR}/cmake/Uninstall.cmake)
endfunction()
