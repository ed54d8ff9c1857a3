/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The seal of a full segment: index and foot behind its records. It saves the next start a scan and nothing hangs on it.
 */
#include <string.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/store/disk.h"
#include "broker/store/journal_private.h"

void
segment_seal(struct journal *journal, struct segment *segment, int fd, const uint8_t *entries, size_t count,
    uint64_t next_seq)
{
	uint8_t head[SEGMENT_INDEX_HEAD], foot_bytes[SEGMENT_FOOT_SIZE];
	struct segment_foot foot = { .number = segment->number,
		.count = (uint32_t)count,
		.end = segment->end,
		.last_us = segment->last_us,
		.next_seq = next_seq };
	struct iovec iov[3];
	struct log_line line;
	int r;

	foot.index_crc = digest_crc32c(0, span_make(entries, count * SEGMENT_ENTRY_SIZE));
	memcpy(foot.id, segment->id, SEGMENT_ID_LEN);
	memcpy(foot.chain, segment->chain, DIGEST_SHA256_LEN);
	segment_index_head(foot.count, foot.index_crc, head);
	segment_foot_encode(&foot, foot_bytes);
	iov[0] = (struct iovec){ head, sizeof head };
	iov[1] = (struct iovec){ (void *)(uintptr_t)entries, count * SEGMENT_ENTRY_SIZE };
	iov[2] = (struct iovec){ foot_bytes, sizeof foot_bytes };
	r = disk_write(fd, segment->end, iov, 3);
	pthread_mutex_lock(&journal->lock);
	sign_sealed(segment);
	segment->indexed = segment->finish = r == 0;
	pthread_cond_signal(&journal->keeper_wake);
	pthread_cond_signal(&journal->sign_wake);
	pthread_mutex_unlock(&journal->lock);
	if (r) { /* its records are safe and will be read by scanning */
		metric_count(METRIC_JOURNAL_FAILURES, 1);
		return;
	}
	log_begin(&line, EVENT_SEGMENT_SEALED);
	log_u64(&line, "segment", segment->number);
	log_u64(&line, "records", segment->records);
	log_u64(&line, "bytes", segment->end);
	log_commit(&line);
}
