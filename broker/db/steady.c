#include "broker/db/steady.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/db/internal.h"

/* Sorted, for bsearch.  Function (but for the endless ones) and the aggregate
 * steps are as long as their values are, which LIMIT_LENGTH bounds; Sorter* as many as the rows that were
 * put in step by step; what a read inserts and deletes is its own ephemeral table's. */
static const char *const short_steps[] = {"Abortable", "Add", "AddImm", "Affinity",
    "AggFinal", "AggInverse", "AggStep", "AggStep1", "AggValue", "And", "BeginSubrtn",
    "BitAnd", "BitNot", "BitOr", "Blob", "Cast", "Close", "ClrSubtype", "CollSeq",
    "Column", "ColumnsUsed", "Compare", "Concat", "Copy", "DecrJumpZero", "DeferredSeek",
    "Delete", "Divide", "ElseEq", "EndCoroutine", "Eq", "Explain", "Filter", "FilterAdd",
    "FinishSeek", "Found", "Function", "Ge", "GetSubtype", "Gosub", "Goto", "Gt", "Halt",
    "HaltIfNull", "IdxDelete", "IdxGE", "IdxGT", "IdxInsert", "IdxLE", "IdxLT",
    "IdxRowid", "If", "IfNoHope", "IfNot", "IfNotOpen", "IfNotZero", "IfNullRow", "IfPos",
    "IfSmaller", "Init", "InitCoroutine", "Insert", "Int64", "IntCopy", "Integer",
    "IsNull", "IsTrue", "IsType", "Jump", "Last", "Le", "Lt", "MakeRecord", "Move",
    "Multiply", "MustBeInt", "Ne", "NewRowid", "Next", "NoConflict", "Noop", "Not",
    "NotExists", "NotFound", "NotNull", "Null", "NullRow", "Offset", "OffsetLimit",
    "Once", "OpenAutoindex", "OpenDup", "OpenEphemeral", "OpenPseudo", "OpenRead", "Or",
    "Permutation", "Prev", "PureFunc", "Real", "RealAffinity", "Remainder", "ReopenIdx",
    "ResetSorter", "ResultRow", "Return", "Rewind", "RowData", "RowSetAdd", "RowSetRead",
    "RowSetTest", "Rowid", "SCopy", "SeekGE", "SeekGT", "SeekHit", "SeekLE", "SeekLT",
    "SeekRowid", "SeekScan", "Sequence", "SequenceTest", "SetSubtype", "ShiftLeft",
    "ShiftRight", "SoftNull", "Sort", "SorterCompare", "SorterData", "SorterInsert",
    "SorterNext", "SorterOpen", "SorterSort", "String", "String8", "Subtract",
    "Transaction", "Variable", "Yield", "ZeroOrNull"};

static int compare_step(const void *name, const void *entry)
{
	return strcmp(name, *(const char *const *)entry);
}

static bool is_short_step(const char *name)
{
	return name &&
	    bsearch(name, short_steps, sizeof short_steps / sizeof *short_steps,
		sizeof *short_steps, compare_step);
}

/* Whose time is the product of their arguments' lengths: seconds with FAST_VALUE_BYTES. */
static bool is_endless(const char *function)
{
	static const char *const endless[] = {
	    "json_patch(", "ltrim(2)", "rtrim(2)", "trim(2)"};

	for (size_t i = 0; function && i < sizeof endless / sizeof *endless; i++)
		if (sqlite3_strnicmp(function, endless[i], (int)strlen(endless[i])) == 0)
			return true;
	return false;
}

/* One row of EXPLAIN: addr, opcode, p1, p2, p3, p4 (a function's name and arity). */
static bool is_short_row(sqlite3_stmt *explain)
{
	return is_short_step((const char *)sqlite3_column_text(explain, 1)) &&
	    !is_endless((const char *)sqlite3_column_text(explain, 5));
}

bool connection_is_steady(struct connection *connection, const char *sql, size_t len)
{
	sqlite3_stmt *stmt = NULL;
	bool is_steady = true;
	char *text = sqlite3_mprintf("EXPLAIN %.*s", (int)len, sql);
	int rc = SQLITE_NOMEM;

	guard_reset(&connection->guard);
	if (text &&
	    sqlite3_prepare_v2(connection->db, text, -1, &stmt, NULL) == SQLITE_OK)
		while ((rc = sqlite3_step(stmt)) == SQLITE_ROW && is_steady)
			is_steady = is_short_row(stmt);
	/* An EXPLAIN of an EXPLAIN does not compile, and ends up here. */
	is_steady = is_steady && rc == SQLITE_DONE;
	sqlite3_finalize(stmt);
	sqlite3_free(text);
	return is_steady;
}
