# How this project's targets are made: the same language level, warnings and sanitizers everywhere, so that a folder's
# CMakeLists.txt only says what the folder holds and which folders below it it uses.

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/lib)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)

set(BLKTAP_SANITIZE "" CACHE STRING "Comma-separated sanitizers to build with, as for -fsanitize=")
option(BLKTAP_PRECOMPILE "Precompile the large headers of other projects: builds in half the time, but hides missing includes" OFF)
option(BLKTAP_STATIC_RUNTIME "Link the C++ runtime into the programs: they start faster, and a disk's process is smaller" ON)
option(BLKTAP_FUZZ "Build the libFuzzer targets (clang only)" OFF)

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(Boost 1.74 REQUIRED CONFIG)
find_package(nlohmann_json 3.11 REQUIRED)
pkg_check_modules(XENGNTTAB REQUIRED IMPORTED_TARGET xengnttab)
pkg_check_modules(XENEVTCHN REQUIRED IMPORTED_TARGET xenevtchn)
pkg_check_modules(XENSTORE REQUIRED IMPORTED_TARGET xenstore)

add_library(blktap_options INTERFACE)
target_compile_options(blktap_options INTERFACE -Wall -Wextra -Wpedantic -Wconversion)
target_include_directories(blktap_options INTERFACE ${PROJECT_SOURCE_DIR})
if(BLKTAP_SANITIZE)
    target_compile_options(blktap_options INTERFACE -fsanitize=${BLKTAP_SANITIZE}
                           -fno-sanitize-recover=all -fno-omit-frame-pointer)
    target_link_options(blktap_options INTERFACE -fsanitize=${BLKTAP_SANITIZE})
    if(BLKTAP_SANITIZE MATCHES "undefined")
        # Its look at an object opens a pipe, and blames the object where a process has used up its descriptors.
        target_compile_options(blktap_options INTERFACE -fno-sanitize=vptr)
    endif()
    if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
        target_compile_options(blktap_options INTERFACE
                               -fsanitize-ignorelist=${PROJECT_SOURCE_DIR}/cmake/not-sanitized.txt)
    elseif(BLKTAP_SANITIZE MATCHES "address")
        # A runtime inside the program lets the fake Xen libraries be preloaded: ASan insists on being loaded first.
        target_link_options(blktap_options INTERFACE -static-libasan -static-libubsan)
    endif()
endif()
if(BLKTAP_FUZZ)
    target_compile_options(blktap_options INTERFACE -fsanitize=fuzzer-no-link)
endif()

# blktap_precompiled(NAME header...): makes those that NAME and others, by REUSE_FROM, then share.
function(blktap_precompiled name)
    target_precompile_headers(${name} PRIVATE ${ARGN} <algorithm> <chrono> <functional> <map> <memory> <optional> <string>
                              <system_error> <vector>)
endfunction()

if(BLKTAP_PRECOMPILE)
    file(CONFIGURE OUTPUT ${PROJECT_BINARY_DIR}/generated/empty.cpp CONTENT "")
    add_library(blktap_headers STATIC ${PROJECT_BINARY_DIR}/generated/empty.cpp)
    target_link_libraries(blktap_headers PRIVATE blktap_options)
    blktap_precompiled(blktap_headers <nlohmann/json.hpp>)
endif()

# Where CMAKE_UNITY_BUILD joins the sources of a target, to build in half the time, those listed as APART stay alone:
# they give a local name that another source gives too.
function(blktap_apart)
    set_source_files_properties(${ARGN} PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
endfunction()

# blktap_library(NAME SOURCES file... [APART file...] [USES target...])
#   A folder's library. A folder of headers alone becomes an interface target.
function(blktap_library name)
    cmake_parse_arguments(ARG "" "" "SOURCES;APART;USES" ${ARGN})
    if(ARG_APART)
        blktap_apart(${ARG_APART})
        list(APPEND ARG_SOURCES ${ARG_APART})
    endif()
    if(ARG_SOURCES)
        add_library(${name} STATIC ${ARG_SOURCES})
        target_link_libraries(${name} PUBLIC blktap_options ${ARG_USES})
        if(BLKTAP_PRECOMPILE)
            target_precompile_headers(${name} REUSE_FROM blktap_headers)
        endif()
    else()
        add_library(${name} INTERFACE)
        target_link_libraries(${name} INTERFACE blktap_options ${ARG_USES})
    endif()
endfunction()

# blktap_program(NAME SOURCES file... [USES target...])
function(blktap_program name)
    cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
    add_executable(${name} ${ARG_SOURCES})
    target_link_libraries(${name} PRIVATE blktap_options ${ARG_USES})
    if(BLKTAP_STATIC_RUNTIME AND NOT BLKTAP_SANITIZE)
        # Nearly all symbols that a dynamic loader would look up at each start are that runtime's own.
        target_link_options(${name} PRIVATE -static-libstdc++ -static-libgcc -Wl,--as-needed)
    endif()
endfunction()
