/* program.h - a fuzz input as what a few clients do: one step after the other.
 *
 *   op a b c [bytes ...]     op a b c [bytes ...]    ...
 *
 * Any bytes are a program.  Steps are four bytes; STEP_SQL and STEP_RAW have ${b} more
 * bytes of their own behind them.
 */
#ifndef POOLITE_TESTS_FUZZ_PROGRAM_H
#define POOLITE_TESTS_FUZZ_PROGRAM_H

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/session/peer.h"

#define PROGRAM_PEERS     4
#define PROGRAM_STEPS_MAX 64

/* X(NAME): what a step does; a, b and c are its operands. */
#define PROGRAM_STEPS(X)                                                                 \
	X(QUERY)       /* text a, arguments b, options c */                              \
	X(UPDATE)      /* the same */                                                    \
	X(BATCH)       /* text a, rows b, arguments c */                                 \
	X(TRANSACTION) /* texts a, b and c */                                            \
	X(SCRIPT)      /* script a, options c */                                         \
	X(BEGIN)       /* options a */                                                   \
	X(COMMIT)                                                                        \
	X(ROLLBACK)                                                                      \
	X(FETCH)  /* cursor a, rows b, options c */                                      \
	X(CLOSE)  /* cursor a */                                                         \
	X(CANCEL) /* the a-th request back; b: how */                                    \
	X(BARE)   /* method a without parameters */                                      \
	X(SQL)    /* a: which method; b bytes of SQL follow */                           \
	X(RAW)    /* b bytes follow, sent as they are */                                 \
	X(CUT)    /* of what is not sent yet only a bytes stay */                        \
	X(CORK)   /* from now on messages gather, or each is sent */                     \
	X(SEND)   /* what gathered; its first a bytes before the others */               \
	X(PEER)   /* client a is meant from now on, connected if it is not */            \
	X(WAIT)   /* until it has its answers, or nothing happens any more */            \
	X(TURN)   /* of the loop, once; a odd: the client stops reading */               \
	X(ELAPSE) /* some time passes */                                                 \
	X(HALF_CLOSE)                                                                    \
	X(HANG_UP)                                                                       \
	X(LEDGER) /* write down a number, to be found again */

enum program_step {
#define PROGRAM_STEP_ENUM(name) STEP_##name,
	PROGRAM_STEPS(PROGRAM_STEP_ENUM)
#undef PROGRAM_STEP_ENUM
	    STEP_COUNT
};

struct step {
	enum program_step op;
	uint8_t a, b, c;
	const uint8_t *bytes; /* of SQL and RAW; borrowed */
	size_t len;
};

/** The next step.  False: there is none. */
bool program_next(struct fuzz_bytes *bytes, struct step *step);

/** Append the message that ${step} (QUERY to SQL, LEDGER) means, under ${msgid}. */
void program_pack(const struct step *step, const struct peer *peer, uint32_t msgid,
    const struct peer *other, struct poolite__buf *out);

#endif
