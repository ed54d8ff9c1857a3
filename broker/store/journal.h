/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The journal: the only truth. Append-only segments of checksummed, chained records, committed in groups.
 *
 * A record is done when fdatasync returned after it was written; only then its callback runs with 0. Any thread may append; a commit
 * thread writes, and callbacks run on the loop thread (through the poster), in sequence order, never from inside journal_append. Where the
 * poster knows the end of a turn, the loop itself writes and syncs what it appended in that turn, when that is at most 32 KiB, nobody else
 * commits, and the last two batches took less than 200 µs each: a disk that becomes slow, or does not answer, holds the loop for that one
 * sync, and then no more until it is quick again (and not before four times as long has passed). A failed write or sync fails
 * every record of that batch: nothing is pretended, a new segment is begun whose head says where the old one ends, so that the failed
 * records are void for ever. Format: conf/doc/journal.md.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/base/post.h"
#include "codecs/arena.h"
#include "codecs/buffer.h"
#include "codecs/span.h"

enum record_type {
	RECORD_ACCEPTED = 1, /* facts, decision, the received bytes */
	RECORD_REFUSED,	     /* the same; bytes whole up to 1 MiB, beyond that their head */
	RECORD_FRAME,	     /* rejected at the frame: size, cause, offset, first 64 bytes */
	RECORD_STRAY,	     /* an acknowledgement nobody asked for */
	RECORD_DUPLICATE,    /* a resend; ref is the accepted message */
	RECORD_OUTCOME,	     /* what became of message ref at one destination */
	RECORD_ACCESS,	     /* somebody read the content of message ref */
	RECORD_OPERATOR,     /* an operator's act */
	RECORD_STARTED,	     /* the broker started */
	RECORD_REMOVED,	     /* the journal's own: a segment was removed */
	RECORD_SIGNED,	     /* the journal's own: a signature over the records before it */
};

/* Whether facts of ${type} are the journal's own and not those of a message. */
static inline bool
record_is_own(unsigned type)
{
	return type == RECORD_REMOVED || type == RECORD_SIGNED;
}

enum record_flag {
	RECORD_CARRIED = 1 << 0,  /* written again by retention: same sequence, time, digests */
	RECORD_BODILESS = 1 << 1, /* the bytes are not here (any more); size and sha256 tell of them */
	RECORD_PURGED = 1 << 2,
	RECORD_REPLAYED = 1 << 3, /* of an accepted message: its received bytes are those of record ${ref} */
};

/* What is known of a record without its content. */
struct record_head {
	uint64_t seq;	  /* 1, 2, 3 ... < 2^53, shown everywhere as the message's id */
	uint64_t time_us; /* journal time */
	uint64_t ref;	  /* the record this one is about, or 0 */
	uint64_t size;	  /* of the received bytes, also when fewer are stored */
	uint16_t type;	  /* enum record_type */
	uint16_t flags;
	uint8_t key[16];    /* what duplicates are found by; zeros: none */
	uint8_t sha256[32]; /* of the received bytes */
};

struct record {
	struct record_head head;
	struct span facts;
	struct span decision;
	struct span body; /* empty where it was not asked for */
};

/* Where a record lies now; retention moves records. */
struct journal_place {
	uint32_t segment;
	uint64_t offset;
};

struct journal;

struct journal_options {
	const char *directory; /* the state directory: segments go to journal/, damage to quarantine/ */
	uint64_t segment_size;
	uint64_t reserve;
	uint64_t disk_floor;
	uint64_t retention_us; /* 0: keep for ever */
	struct poster *poster;
	/* Called on the loop thread when free space crosses the floor, when writing fails and when it works again. May be NULL. */
	void (*state_changed)(void *arg);
	void *arg;
};

enum {
	JOURNAL_FLOOR = 1, /* free space is below the floor: pushes wait */
	JOURNAL_FULL,	   /* not even the reserve has room, or the journal cannot be written now */
	JOURNAL_ABSENT,	   /* no record of that sequence (removed, or never was) */
	JOURNAL_DAMAGED,   /* its bytes are there but their checksum is wrong */
	JOURNAL_END,	   /* nothing more for now */
	JOURNAL_FORMAT,	   /* a segment of an unknown format version, or not ours */
	JOURNAL_BUSY,	   /* another act is at work on it */
	JOURNAL_UNSIGNED,  /* there is no seal key, or it cannot sign now */
};

/*
 * One record as replay sees it: facts and decision, never the body; its spans end with the call. A non-zero answer stops the replay and
 * fails the open with it.
 */
typedef int journal_replay_fn(void *arg, const struct record *record);

/*
 * Open (and create, if there is none) the journal: recover it, replay every record once in ascending sequence (a carried record stands
 * where its sequence does), zero-fill ahead, start the threads. A torn tail and damaged records are copied to quarantine/ and logged. The
 * caller holds the directory's lock (store/lock.h). ${replay} may be NULL. 0, -errno, JOURNAL_FORMAT or the answer of ${replay}. A full
 * disk is no failure: the journal is then open below its floor.
 */
int journal_open(struct journal **journalp, const struct journal_options *options, journal_replay_fn *replay,
    void *arg) __attribute__((warn_unused_result));

/*
 * On the loop thread: commit what is queued (callbacks run before the return), stop the threads, free. An item may still lie in the poster
 * and runs to no effect; a loop that ends should run what was posted. NULL is harmless.
 */
void journal_close(struct journal *journal);

/* 16 secret bytes, made once per journal and kept in every segment head: the key of the duplicates' hash. */
const uint8_t *journal_secret(const struct journal *journal);

/* Runs on the loop thread. ${error} is 0, or why nothing is on disk: -errno of the write or sync. */
typedef void journal_done_fn(void *arg, int error);

struct journal_entry {
	enum record_type type;
	uint64_t ref;
	uint64_t size;	       /* of the received bytes */
	const uint8_t *key;    /* 16 bytes or NULL */
	const uint8_t *sha256; /* 32 bytes of the received bytes, or NULL (zeros) */
	struct span facts;     /* the spans must live until done */
	struct span decision;
	struct span body;
	bool replayed; /* no body: the received bytes are those of ${ref}, of this size and digest */
	bool push;     /* subject to the disk floor; everything else may use the reserve */
};

/*
 * Queue one record. On 0 its place in the order is fixed, *${headp} (if not NULL) is filled, and ${done} will be called once (also by
 * journal_close). JOURNAL_FLOOR or JOURNAL_FULL or -errno (-EMSGSIZE: facts or decision above 16 MiB, body above 1 GiB): nothing was
 * queued, done is not called. A push may also fail later with -ENOSPC when only the reserve had room. Sequences of failed records
 * stay unused. Thread-safe; does no I/O.
 */
int journal_append(struct journal *journal, const struct journal_entry *entry, journal_done_fn *done,
    void *arg, struct record_head *headp) __attribute__((warn_unused_result));

/* Journal time now. Thread-safe. */
uint64_t journal_now(struct journal *journal);

/* Where record ${seq} lies: 0 or JOURNAL_ABSENT. In memory; thread-safe. */
int journal_find(struct journal *journal, uint64_t seq, struct journal_place *place)
    __attribute__((warn_unused_result));

/*
 * Read record ${seq} into ${arena}, with its body when ${body}. Checks both checksums. The body of a replayed message is looked for where it
 * lies, and its digest checked; when it is not kept any more the head says so (RECORD_BODILESS, RECORD_PURGED). Blocks: not on the loop thread.
 * 0, JOURNAL_ABSENT, JOURNAL_DAMAGED, -errno (-ENOMEM: the arena's ceiling).
 */
int journal_read(struct journal *journal, uint64_t seq, bool body, struct arena *arena, struct record *record)
    __attribute__((warn_unused_result));

/* A place in the whole journal, for those that follow it. Zeros: the oldest record. */
struct journal_cursor {
	uint32_t segment;
	uint64_t offset;
};

/* Wait until something is committed behind ${cursor}, at most ${ms}; journal_close wakes all. Blocks. True when there is something. */
bool journal_wait(struct journal *journal, const struct journal_cursor *cursor, unsigned ms);

/* The newest committed sequence. */
uint64_t journal_committed(struct journal *journal);

/* Retention: what is to become of each record of an old segment. */
enum journal_fate {
	FATE_DROP,
	FATE_CARRY,	     /* still live: write it again, whole */
	FATE_CARRY_BODILESS, /* only remembered (duplicates): write it again without its bytes */
};

/*
 * Judge ${count} records (for RECORD_REMOVED the answer is not used: the journal knows). Called on the journal's own thread; the
 * implementation asks whoever knows. Non-zero: not now, try later.
 */
typedef int journal_judge_fn(
    void *arg, const struct record_head *heads, size_t count, enum journal_fate *fates);

/* Start the retention task: removes sealed segments whose newest record is older than retention_us, after carrying forward. */
int journal_start_retention(struct journal *journal, journal_judge_fn *judge, void *arg)
    __attribute__((warn_unused_result));

struct seal_key;

/*
 * From now on sign with ${key}, which is the journal's from here on; NULL: sign no more. What is not signed yet of what stands in the journal is signed, too: each
 * sealed segment, the open one every five minutes and at the close. Until the first call nothing is signed. Thread-safe; does no I/O.
 */
void journal_seal(struct journal *journal, struct seal_key *key);

/* Overwrite in ${facts}, in place, what tells of somebody; their length stays. */
typedef void journal_blank_fn(uint8_t *facts, size_t len);

/*
 * Overwrite the received bytes of record ${seq} with zeros, and its facts by ${blank}, in every copy there is; the chain, digests and signatures stay as they
 * are. One that is purged already is left alone. A crash in the middle is finished by the next open. To be called behind the record of the act. Blocks.
 * 0, JOURNAL_ABSENT, JOURNAL_DAMAGED, JOURNAL_BUSY, -errno (what was begun is finished by the next purge, or the next open).
 */
int journal_purge(struct journal *journal, uint64_t seq, journal_blank_fn *blank)
    __attribute__((warn_unused_result));

#define JOURNAL_COVERED 176 /* bytes of a record's header that the chain covers */
#define JOURNAL_PATH	32  /* hashes at most between a record and a signed root */

/* What shows, without the journal, that a record stands in it: conf/doc/proof.md. */
struct journal_proof {
	uint8_t covered[JOURNAL_COVERED]; /* the header from its type on, flag 4 cleared */
	uint8_t chain_before[32];
	uint64_t index; /* among the records that were signed together */
	size_t path_count;
	uint8_t path[JOURNAL_PATH][32];
	struct record record;	      /* no body */
	bool has_facts, has_decision; /* they are those of the digests: not purged */
	struct span signature;	      /* the facts of the RECORD_SIGNED */
};

/*
 * Prove record ${seq}; spans of ${proof} lie in ${arena}. What is not signed yet is signed first. Blocks, for as long as reading a segment's headers takes.
 * 0, JOURNAL_ABSENT, JOURNAL_DAMAGED, JOURNAL_UNSIGNED, -errno.
 */
int journal_prove(struct journal *journal, uint64_t seq, struct arena *arena, struct journal_proof *proof)
    __attribute__((warn_unused_result));

struct journal_status {
	uint64_t first_seq, committed_seq;
	uint64_t records, bytes; /* on disk */
	uint64_t segments;
	uint64_t disk_free, disk_total;
	uint64_t quarantined; /* files in quarantine/ made by this process */
	uint64_t
	    damaged; /* records found damaged when they were read; the same one may count again after others */
	uint64_t sync_us_last, sync_us_p50;
	bool below_floor;
	bool failed;	    /* the last batch could not be written */
	bool check_failed;  /* the last journal_verify had findings */
	bool signs;	    /* there is a seal key */
	bool sign_failed;   /* the last signature could not be had */
	uint64_t signed_us; /* journal time of the newest signature; 0: none */
};

void journal_status(struct journal *journal, struct journal_status *status);

/*
 * Check everything on disk: head and body checksums, the three digests, the chain. Appends one line per finding to ${report}. Blocks for
 * long. 0: all well; JOURNAL_DAMAGED; -errno.
 */
int journal_verify(struct journal *journal, struct buffer *report) __attribute__((warn_unused_result));

/* The signatures of one seal, as a verification found them. */
struct journal_seal {
	uint64_t count;
	struct buffer first, last; /* facts of the first and the last RECORD_SIGNED */
};

/* What was verified. */
struct journal_verified {
	uint64_t records, purged, signatures;
	uint64_t not_signed; /* records that no signature is about, other than signatures */
	struct journal_seal *seals;
	size_t seal_count;
};

/* The same, and what there was; ${verified} (may be NULL) is filled also when something was found: journal_verified_fini is owed. */
int journal_verify_seals(struct journal *journal, struct buffer *report, struct journal_verified *verified)
    __attribute__((warn_unused_result));
void journal_verified_fini(struct journal_verified *verified);

/* The broker stops: a journal_verify under way ends behind the segment it reads, with -ECANCELED. Thread-safe. */
void journal_hurry(struct journal *journal);
