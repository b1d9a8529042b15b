/* process.h - folders, programs and forked clients that never outlive their test. */
#ifndef POOLITE_TESTS_PROCESS_H
#define POOLITE_TESTS_PROCESS_H

#include <stddef.h>
#include <sys/types.h>

/** Room for the name of a folder that folder_make made. */
#define FOLDER_SIZE 32

/** Make a folder.  It goes with all that is in it when the test process ends, however that ends. */
void folder_make(char folder[FOLDER_SIZE]);

/** Fork; the child is killed when this process ends. 0 in the child. */
pid_t process_fork(void);

/** Wait for ${pid}: its exit status, or 128 and the signal's number. */
int process_wait(pid_t pid);

/**
 * The path of a program under test.  $PROGRAMS names the folder it is taken from, if
 * there is one of that name in it: built otherwise, or wrapped in a tool.  It lives
 * for good.
 */
const char *program_path(const char *name);

/** poolited's path; argv[0] of it. */
#define POOLITED (program_path("poolited"))

/** Let time pass; only where time itself is what is tested. */
void process_pause(double seconds);

/**
 * Run a program to its end, with ${input} (NULL: nothing) on its standard input.
 *
 *   argv    ends with NULL; argv[0] is looked up in PATH
 *   output  gets what it wrote to standard output and error, and a NUL
 *
 * Returns as process_wait.
 */
int program_run(
    const char *const *argv, const char *input, char *output, size_t output_size);

/* What a forked client does; it returns when all went well.  ${index}: which of several. */
typedef void client_role(unsigned index, void *context);

/** Fork a client that plays ${role}.  It has none of its parent's wires.  Under AddressSanitizer
 *  it fails when it has lost memory by the role's return, if the test has begun no threads. */
pid_t client_start(client_role *role, unsigned index, void *context);
/** Wait for it: the test fails unless all went well. */
void client_wait(pid_t pid);
/** Start ${count} clients together, and wait for all of them. */
void clients_run(unsigned count, client_role *role, void *context);

#endif
