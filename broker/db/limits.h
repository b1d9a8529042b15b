/* limits.h - how large SQLite lets a client's text and values become. */
#ifndef POOLITE_BROKER_DB_LIMITS_H
#define POOLITE_BROKER_DB_LIMITS_H

#include <sqlite3.h>

#include "broker/db/connection.h"

/** Bound ${db}, as far as it is not yet. */
void limits_install(sqlite3 *db, const struct connection_options *options);

/** Whether SQLite's ${message} is of one of these limits, or of a schema that is not trusted. */
bool limits_are_meant(const char *message);

#endif
