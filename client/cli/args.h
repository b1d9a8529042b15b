/* args.h - words as SQL values.
 *
 * A word that is a number as JSON spells it is INTEGER or REAL, the word null
 * is NULL, and everything else is TEXT: 007, +5, 0x10, true, and integers that
 * do not fit 64 bits.
 */
#ifndef POOLITE_CLI_ARGS_H
#define POOLITE_CLI_ARGS_H

#include "client/poolite.h"

/** One word of ${len} bytes, borrowed; ${all_text}: it is TEXT whatever it looks like. */
struct poolite_value value_of_word(const char *word, size_t len, bool all_text);

/** ${count} words, NUL-terminated.  NULL: no memory; else for free(). */
struct poolite_value *values_of_words(char *const *words, int count, bool all_text);

#endif
