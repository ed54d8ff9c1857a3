/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the HL7 door tells of the XML documents in its messages: the form of each is counted, and one that cannot be read is told when its message
 * was taken all the same.
 */
#pragma once

#include <stdint.h>

#include "broker/core/facts.h"

struct mllp_slot;

/* Add the documents that were read to liaison_documents_total. */
void mllp_documents_count(const struct facts *facts);

/* One line, if a document in the message of ${slot}, taken as ${seq}, is faulty. Place and reason, never a value. */
void mllp_documents_tell(const struct mllp_slot *slot, uint64_t seq);
