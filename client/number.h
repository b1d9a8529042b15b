/* number.h - conversions between numbers and text, as SQLite does them and
 * whatever the process's locale says.  Pure.
 */
#ifndef POOLITE_CLIENT_NUMBER_H
#define POOLITE_CLIENT_NUMBER_H

#include <stddef.h>
#include <stdint.h>

/* Bytes any number's text takes, with the NUL. */
#define POOLITE__NUMBER_BYTES 32

/** "12 apples" is 12, "apples" 0; what does not fit is the nearest that does. */
int64_t poolite__text_to_int64(const char *text, size_t len);
/** "1.5e3 apples" is 1500.0, "apples" 0.0. */
double poolite__text_to_double(const char *text, size_t len);
/** Cut towards zero; what does not fit is the nearest that does. */
int64_t poolite__double_to_int64(double real);

/** Write the text, NUL-terminated; returns its length. */
size_t poolite__int64_to_text(char text[POOLITE__NUMBER_BYTES], int64_t integer);
/** 15 significant digits and always a point: "100.0", "1.0e+20", "-Inf". */
size_t poolite__double_to_text(char text[POOLITE__NUMBER_BYTES], double real);

#endif
