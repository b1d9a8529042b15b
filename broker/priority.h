/* priority.h - which threads go first when there is more to run than processors.
 *
 * Readers run what may take long, and as many of them as a client's queries
 * keep busy.  The loop, which answers everybody, and the writer, whom everybody waits
 * for, must not stand in one line with them, so readers give way.  This needs no
 * rights: a thread may always make itself less urgent.
 */
#ifndef POOLITE_BROKER_PRIORITY_H
#define POOLITE_BROKER_PRIORITY_H

/* How much nicer a reader's thread is than the broker's others: it still gets a tenth of
 * what they do. */
#define PRIORITY_READER_NICE 10

/** The calling thread gives way to the others, of all processes.  A kernel that refuses
 *  is as before. */
void priority_give_way(void);
/** The calling thread does little at a time, and shall be woken soon when it has to. */
void priority_wake_soon(void);

#endif
