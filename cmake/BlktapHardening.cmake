# What the compiler and the linker can do to make a fault in our programs a crash rather than a way in. Ours stand before the
# builder's own flags, so that CXXFLAGS and LDFLAGS of a distribution (dpkg-buildflags, say) decide where the two differ.
# docs/decisions/0016-hardening.md.
include(CheckCXXCompilerFlag)
include(CheckCXXSourceCompiles)
include(CheckPIESupported)

option(BLKTAP_HARDEN "Build with the compiler's and linker's protections; never with sanitizers, which do more" ON)

if(NOT BLKTAP_HARDEN OR BLKTAP_SANITIZE OR BLKTAP_FUZZ)
    return()
endif()

# With what the build has: a probe is otherwise compiled without optimisation.
set(CMAKE_TRY_COMPILE_CONFIGURATION ${CMAKE_BUILD_TYPE})

set(hardening)
foreach(flag -fstack-protector-strong -fstack-clash-protection -fcf-protection=return)
    string(MAKE_C_IDENTIFIER "BLKTAP_HAS${flag}" known)
    check_cxx_compiler_flag(${flag} ${known})
    if(${known})
        string(APPEND hardening "${flag} ")
    endif()
endforeach()

# The C library checks sizes only where the compiler optimises, and level 3 needs a compiler that knows sizes at run time.
# Who defines it already, be it the builder or the compiler's own settings, has chosen the level.
# Asked each time, because the answer follows the flags.
set(CMAKE_REQUIRED_QUIET ON)
unset(BLKTAP_FORTIFY CACHE)
unset(BLKTAP_FORTIFY_3 CACHE)
check_cxx_source_compiles("
    #if !defined __OPTIMIZE__ || defined _FORTIFY_SOURCE
    #error not needed
    #endif
    int main() {}" BLKTAP_FORTIFY)
if(BLKTAP_FORTIFY)
    set(CMAKE_REQUIRED_FLAGS "-Werror -D_FORTIFY_SOURCE=3")
    check_cxx_source_compiles("
        #include <cstdio>
        int main() {}" BLKTAP_FORTIFY_3)
    unset(CMAKE_REQUIRED_FLAGS)
    if(BLKTAP_FORTIFY_3)
        string(APPEND hardening "-D_FORTIFY_SOURCE=3 ")
    else()
        string(APPEND hardening "-D_FORTIFY_SOURCE=2 ")
    endif()
endif()
unset(CMAKE_REQUIRED_QUIET)

check_pie_supported()
string(PREPEND CMAKE_CXX_FLAGS "${hardening}")
string(PREPEND CMAKE_EXE_LINKER_FLAGS "-Wl,-z,relro,-z,now,-z,noexecstack ")
