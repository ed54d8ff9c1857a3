/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is done goes back to the loop thread: one item is posted, however many records wait, and their callbacks run in the order of the queue.
 *
 * The item may still lie in the loop's queue when the journal is closed: closing takes it out; where the poster cannot, it frees itself.
 */
#include <stdlib.h>

#include "broker/store/journal_private.h"

void
pending_push(struct pending_list *list, struct pending *pending)
{
	if (!list->head)
		list->tail = &list->head;
	pending->next = NULL;
	*list->tail = pending;
	list->tail = &pending->next;
}

void
courier_run(struct post_item *item)
{
	struct courier *courier = (struct courier *)item;
	struct journal *journal = courier->journal;

	if (!journal) { /* closed meanwhile */
		free(courier);
		return;
	}
	pthread_mutex_lock(&journal->lock);
	courier->posted = false;
	pthread_mutex_unlock(&journal->lock);
	courier->run(journal);
}

void
state_changed_run(struct journal *journal)
{
	journal->options.state_changed(journal->options.arg);
}

static void
courier_post(struct journal *journal, struct courier *courier)
{
	if (courier->posted)
		return;
	courier->posted = true;
	post(journal->options.poster, &courier->item);
}

static void
completed_post(struct journal *journal)
{
	if (journal->completed.head && !journal->on_turn) /* the loop's own turn sees to them itself */
		courier_post(journal, journal->done_courier);
}

void
state_changed_post(struct journal *journal)
{
	if (journal->options.state_changed && !journal->stopping)
		courier_post(journal, journal->state_courier);
}

void
completed_run(struct journal *journal)
{
	struct pending *first, *pending, *next;

	pthread_mutex_lock(&journal->lock);
	first = journal->completed.head;
	journal->completed.head = NULL;
	pthread_mutex_unlock(&journal->lock);
	if (!first)
		return;
	for (pending = first; pending; pending = pending->next)
		pending->done(pending->arg, pending->error);
	pthread_mutex_lock(&journal->lock);
	for (pending = first; pending; pending = next) {
		next = pending->next;
		pool_give(&journal->pendings, pending, true);
	}
	pthread_mutex_unlock(&journal->lock);
}

void
completion_add(struct journal *journal, struct pending *first, const struct pending *behind)
{
	struct pending *next;

	for (; first != behind; first = next) {
		next = first->next;
		if (first->done) {
			pending_push(&journal->completed, first);
			continue;
		}
		if (first->error && !first->ticket->error)
			first->ticket->error = first->error;
		first->ticket->left--;
		free(first);
	}
	completed_post(journal);
	pthread_cond_broadcast(&journal->committed_changed);
}

void
completion_fail(struct journal *journal, struct pending *first, const struct pending *behind, int error)
{
	for (struct pending *p = first; p != behind; p = p->next)
		p->error = error;
	pthread_mutex_lock(&journal->lock);
	completion_add(journal, first, behind);
	pthread_mutex_unlock(&journal->lock);
}
