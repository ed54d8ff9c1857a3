/* SPDX-License-Identifier: Apache-2.0 */
#include "broker/doors/mllp_documents.h"

#include <string.h>

#include "broker/base/log.h"
#include "broker/base/metrics.h"
#include "broker/doors/mllp_link.h"

#define FORM_MAX 32u /* the longest name of a form, and NUL */

void
mllp_documents_count(const struct facts *facts)
{
	for (size_t i = 0; i < facts->document_count; i++) {
		struct span form = facts->documents[i].form;
		char name[FORM_MAX];

		if (form.len == 0 || form.len >= sizeof(name))
			continue;
		memcpy(name, form.ptr, form.len);
		name[form.len] = '\0';
		metric_add(metric_series(METRIC_DOCUMENTS, name), 1);
	}
}

void
mllp_documents_tell(const struct mllp_slot *slot, uint64_t seq)
{
	const struct facts *facts = &slot->content.facts;
	uint64_t first = 0, faulty = 0;
	struct log_line line;

	if (!slot->content.finding)
		return;
	for (size_t i = facts->document_count; i > 0; i--) {
		struct span form = facts->documents[i - 1].form;

		if (form.len && !span_eq_str(form, "well-formed")) {
			first = i;
			faulty++;
		}
	}
	log_begin(&line, EVENT_DOCUMENT_FAULTY);
	log_u64(&line, "id", seq);
	log_u64(&line, "link", slot->connection->link_id);
	log_text(&line, "peer", slot->connection->peer->config->name);
	log_u64(&line, "document", first);
	log_u64(&line, "faulty", faulty);
	log_fault(&line, slot->content.finding);
	log_commit(&line);
}
