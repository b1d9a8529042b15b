/* The benchmark's program against a real broker: short lines, for its answers alone. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "tests/support/check.h"
#include "tests/support/process.h"

/* Run bench in a folder of its own. */
static int run_bench(const char *arguments, char *output, size_t output_size)
{
	char folder[FOLDER_SIZE], command[512];

	folder_make(folder);
	snprintf(command, sizeof(command),
	    "cd %s && %s/bench --poolited %s --quick %s && cat bench.json", folder,
	    BIN_DIR, POOLITED, arguments);
	return program_run(
	    (const char *const[]){"sh", "-c", command, NULL}, NULL, output, output_size);
}

Test(bench, compares_reads_and_says_so_in_table_and_json)
{
	static char output[65536];

	CHECK_EQ(
	    run_bench("--only read-flight --json bench.json", output, sizeof(output)), 0);
	CHECK_HAS(output, "point reads, 8 sessions, 16 in flight");
	CHECK_HAS(output, "\"goal_at_least\": 2.5");
	CHECK_HAS(output, "\"rounds\": [");
}

Test(bench, finds_every_update_in_the_file)
{
	static char output[65536];

	CHECK_EQ(
	    run_bench("--only write-1 --json bench.json", output, sizeof(output)), 0);
	CHECK_HAS(output, "durable update, 1 client");
}

Test(bench, fails_when_a_peer_is_not_there)
{
	static char output[65536];

	CHECK_EQ(run_bench("--only read-32 --redis no.sock", output, sizeof(output)), 1);
	CHECK_HAS(output, "no.sock: No such file or directory");
}

/* The script reads the names from the source, and needs no build for that. */
Test(bench, script_lists_the_lines_without_building)
{
	static char output[65536];
	const char *line = "PATH=/usr/bin:/bin; " BIN_DIR "/bench --list > lines && "
			   "mkdir copy && cp -r " SOURCE_DIR "/scripts copy && "
			   "mkdir -p copy/tests && cp -r " SOURCE_DIR
			   "/tests/bench copy/tests && copy/scripts/bench --list | cmp - "
			   "lines && test -s lines && ls copy";
	char folder[FOLDER_SIZE], command[2048];

	folder_make(folder);
	snprintf(command, sizeof(command), "cd %s && %s", folder, line);
	CHECK_EQ(program_run((const char *const[]){"sh", "-c", command, NULL}, NULL,
		     output, sizeof(output)),
	    0);
	CHECK_TEXT(output, "scripts\ntests\n");
}
