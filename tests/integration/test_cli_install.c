/* What cmake --install gives is found by pkg-config, wherever it lies. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "tests/support/check.h"
#include "tests/support/shell.h"

static const char program[] = "#include <poolite.h>\n"
			      "#include <stdio.h>\n"
			      "int main(void) {\n"
			      "	struct poolite_error error;\n"
			      "	int rc = poolite_ping(poolite_default(&error), &error);\n"
			      "	printf(\"%s\\n\", poolite_code_name(rc));\n"
			      "	poolite_close_default();\n"
			      "	return rc != 0;\n"
			      "}\n";

/* A library built with sanitizers wants them in its program too. */
#ifdef __SANITIZE_ADDRESS__
#define COMPILE "cc -fsanitize=address,undefined program.c -o program "
#else
#define COMPILE "cc program.c -o program "
#endif

#define PC "PKG_CONFIG_PATH=$(dirname \"$(find \"$PWD\" -name poolite.pc)\") pkg-config "

static void set_up(void)
{
	shell_set_up();
	setenv("BUILD", BIN_DIR "/..", 1);
	setenv("SOURCE", SOURCE_DIR, 1);
	CHECK_EQ(shell_run_with("cat > program.c", program), 0);
}

TestSuite(cli_install, .init = set_up, .fini = shell_tear_down, .timeout = 100);

/* Compile and run the program with the only poolite.pc below this folder. */
static void expect_it_works(void)
{
	EXPECT(COMPILE "$(" PC "--cflags --libs poolite) && "
		       "LD_LIBRARY_PATH=$(" PC "--variable=libdir poolite) ./program",
	    "OK\n");
}

Test(cli_install, a_program_links_the_shared_and_the_static_library)
{
	CHECK_EQ(shell_run("cmake --install \"$BUILD\" --prefix \"$PWD/there\""), 0);
	expect_it_works();
	CHECK_EQ(shell_run("ldd program | grep -q 'libpoolite.so.* => '"), 0);
	CHECK_EQ(shell_run("there/bin/poolite --version"), 0);
	/* Moved, and without the shared library. */
	CHECK_EQ(
	    shell_run(
		"mv there elsewhere && find elsewhere -name 'libpoolite.so*' -delete"),
	    0);
	EXPECT(COMPILE "$(" PC "--static --cflags --libs poolite) && ./program", "OK\n");
	CHECK_EQ(shell_run("ldd program | grep -q libpoolite"), 1);
}

Test(cli_install, the_libraries_may_lie_deep_below_the_prefix)
{
	CHECK_EQ(shell_run("cmake -S \"$SOURCE\" -B configured -D POOLITE_TESTS=OFF "
			   "-D CMAKE_INSTALL_LIBDIR=lib/some-multiarch/deep"),
	    0);
	CHECK_EQ(
	    shell_run(
		"deep=usr/lib/some-multiarch/deep; mkdir -p usr/include $deep/pkgconfig "
		"&& cp \"$SOURCE\"/client/poolite.h \"$SOURCE\"/proto/poolite_*.h usr/include "
		"&& cp -P \"$BUILD\"/lib/libpoolite.* $deep "
		"&& mv configured/poolite.pc $deep/pkgconfig"),
	    0);
	expect_it_works();
}
